"""Keys and certificates of a cluster, made by the openssl command line."""

from dataclasses import dataclass
from pathlib import Path

from .layout import Layout
from .processes import run

DAYS = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """What a certificate says."""

    name: str
    subject: str
    names: tuple[str, ...] = ()
    """What a server's certificate is valid for: DNS:... and IP:... entries."""

    @property
    def extensions(self) -> str:
        names = f"subjectAltName={','.join(self.names)}\n" if self.names else ""
        return f"basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,serverAuth\n{names}"


def certificates(layout: Layout) -> list[Certificate]:
    service = ["kubernetes", "default", "svc", "cluster", "local"]
    dns = ["DNS:localhost", *(f"DNS:{'.'.join(service[:count])}" for count in (1, 2, 3, 5))]
    addresses = ("127.0.0.1", layout.api_service, layout.node_address)
    return [
        Certificate(
            "apiserver", "/CN=kube-apiserver", (*dns, *(f"IP:{address}" for address in addresses))
        ),
        Certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Certificate("admin", "/O=system:masters/CN=kubernetes-admin"),
        Certificate("controller-manager", "/CN=system:kube-controller-manager"),
        Certificate("scheduler", "/CN=system:kube-scheduler"),
        Certificate("proxy", "/CN=system:kube-proxy"),
        Certificate(
            "kubelet",
            f"/O=system:nodes/CN=system:node:{layout.node}",
            (f"DNS:{layout.node}", "IP:127.0.0.1", f"IP:{layout.node_address}"),
        ),
    ]


def write(layout: Layout) -> None:
    folder = layout.pki
    folder.mkdir(mode=0o700, parents=True)
    _write_authority(folder)
    _write_account_key(folder)
    for certificate in certificates(layout):
        _sign(folder, certificate)


def _write_authority(folder: Path) -> None:
    key, crt = str(folder / "ca.key"), str(folder / "ca.crt")
    subject = ("-subj", "/CN=kubernetes-ca", "-days", DAYS)
    run("openssl", "req", "-x509", *_NEW_KEY, *subject, "-keyout", key, "-out", crt)


def _write_account_key(folder: Path) -> None:
    """The key pair that signs and checks service account tokens."""
    key, pub = str(folder / "sa.key"), str(folder / "sa.pub")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run("openssl", "ec", "-in", key, "-pubout", "-out", pub)


def _sign(folder: Path, certificate: Certificate) -> None:
    stem = folder / certificate.name
    key, csr, ext = f"{stem}.key", f"{stem}.csr", f"{stem}.ext"
    Path(ext).write_text(certificate.extensions, encoding="utf-8")
    run("openssl", "req", *_NEW_KEY, "-subj", certificate.subject, "-keyout", key, "-out", csr)
    authority = ("-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial")
    run(
        "openssl",
        "x509",
        "-req",
        "-in",
        csr,
        *authority,
        "-days",
        DAYS,
        "-extfile",
        ext,
        "-out",
        f"{stem}.crt",
    )
