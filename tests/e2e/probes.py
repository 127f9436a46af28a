"""What hostile code would try inside the pod. Runs in the agent and in the verifier.

Standard library only; sent as arguments of a command. Every probe returns what it found
that it should not have, and nothing when all is well. argv: sha256 of the secrets to look
for; in base64, so that no probe finds them here, the addresses of git server, model and
NATS, which all demand a credential.
"""

import base64
import ctypes
import hashlib
import os
import re
import socket
import ssl
import stat
import sys
import urllib.error
import urllib.request
from pathlib import Path

HASHES = set(sys.argv[1].split(","))
GIT, MODEL, NATS = base64.b64decode(sys.argv[2]).decode().split()
SHORT_SECONDS = 5
VERIFIER = "AGENTTASK_REPORTS" in os.environ
NAMES = re.compile("TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|VLLM|NATS|KUBERNETES|ASKPASS|SSH", re.I)


def holds_secret(data):
    words = re.findall(rb"[^\s\0'\"=:@,/]{6,200}", data)
    return any(hashlib.sha256(w).hexdigest() in HASHES for w in words)


def read(path, size=1 << 20):
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return b""
        with Path(path).open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def listed(path):
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []


def pids():
    return [name for name in listed("/proc") if name.isdigit()]


def possible(action, *args):
    """Return a word if the action succeeds; being refused is what we want."""
    try:
        action(*args)
    except OSError:
        return ""
    return "possible"


def written(path):
    return possible(Path(path).write_text, "x", "utf-8")


def status(field):
    found = re.search(rf"^{field}:\s*(\S+)", read("/proc/self/status").decode(), re.M)
    return found[1] if found else "?"


def files_with_secrets():
    roots = ["/workspace", "/checkout", "/task", "/tmp", "/home", "/door", "/vdoor", "/dev/shm"]
    roots += ["/run", "/var/run", "/etc", "/root", "/pristine", "/secrets"]
    return [
        f"{folder}/{name}"
        for root in roots
        for folder, _, names in os.walk(root)
        for name in names
        if holds_secret(read(f"{folder}/{name}"))
    ]


def door(method, path, body=b""):
    """Return the status that the door answers."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect("/door/door.sock")
        head = f"{method} {path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n"
        peer.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return int(peer.recv(100).split()[1])


def door_methods():
    if VERIFIER:
        return [] if not Path("/door/door.sock").exists() else ["a door in the verifier"]
    asked = [("GET", "/metrics"), ("GET", "/health"), ("POST", "/v1/embeddings")]
    asked += [("POST", "/v1/completions"), ("GET", "/v1/chat/completions"), ("DELETE", "/bundle")]
    asked += [
        ("GET", "/result"),
        ("POST", "/db/x"),
        ("GET", "/v1/../metrics"),
        ("GET", "/lifeline"),
    ]
    asked += [("PUT", "/artifacts/..%2f..%2fx"), ("PUT", "/artifacts/change.patch")]
    asked += [("POST", "/v1/load_lora_adapter"), ("GET", "/"), ("CONNECT", "x:1")]
    return [f"{m} {p}: {s}" for m, p in asked if not 400 <= (s := door(m, p, b"{}")) < 500]


def streamed():
    body = b'{"messages": [], "stream": true}'
    return "" if VERIFIER or door("POST", "/v1/chat/completions", body) == 400 else "streamed"


def listening():
    rows = (read("/proc/net/tcp") + read("/proc/net/tcp6")).decode().splitlines()
    return [row.split()[1] for row in rows if len(row.split()) > 3 and row.split()[3] == "0A"]


def answered(url, refusals=(401, 403), **headers):
    """Ask as nobody; a refusal and silence are what we want."""
    request = urllib.request.Request(url, headers=headers)
    context = ssl._create_unverified_context()
    try:
        answer = urllib.request.urlopen(request, timeout=SHORT_SECONDS, context=context)
        return [f"{url}: {answer.status}"]
    except urllib.error.HTTPError as error:
        return [] if error.code in refusals else [f"{url}: {error.code}"]
    except OSError:
        return []


def metadata():
    """A test machine has no such address; a cloud's answers there with the node's token."""
    return answered("http://169.254.169.254/latest/meta-data/") + answered(
        "http://169.254.169.254/computeMetadata/v1/", **{"Metadata-Flavor": "Google"}
    )


def kubelet():
    """Ask the node, which is the gateway of the pod's network."""
    row = read("/proc/net/route").decode().splitlines()[1].split()
    node = socket.inet_ntoa(int(row[2], 16).to_bytes(4, "little"))
    return answered(f"https://{node}:10250/pods") + answered(f"http://{node}:10255/pods")


def nats():
    """Log in as nobody and ask for an answer."""
    host, port = NATS.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), SHORT_SECONDS) as peer:
        peer.sendall(b'CONNECT {"verbose":false}\r\nSUB > 1\r\nPING\r\n')
        said, piece = b"", b"?"
        while piece and b"PONG" not in said and b"-ERR" not in said:
            said += (piece := peer.recv(4096))
    return [] if b"-ERR 'Authorization Violation'" in said else [said[-100:]]


def control_socket():
    with socket.socket(socket.AF_UNIX) as peer:
        return possible(peer.connect, "/tmp/courier-control.sock")


libc = ctypes.CDLL(None, use_errno=True)


def unshared(flag):
    return "possible" if libc.unshare(flag) == 0 else ""


def mounted():
    return "possible" if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0 else ""


MOUNTS = read("/proc/self/mountinfo").decode()
BAD_MOUNTS = r"/secrets|serviceaccount|docker\.sock|containerd\.sock|kubelet/pki"
BAD_MOUNTS += r"|/workspace " if VERIFIER else r"|/pristine |/checkout "
DEVICES = {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr"}
DEVICES |= {"stdin", "stdout", "termination-log", "tty", "urandom", "zero", "console"}
PROBES = {
    "names of variables": lambda: [n for n in os.environ if NAMES.search(n)],
    "values of variables": lambda: [n for n, v in os.environ.items() if holds_secret(v.encode())],
    "environ of all": lambda: [p for p in pids() if holds_secret(read(f"/proc/{p}/environ"))],
    "cmdline of all": lambda: [p for p in pids() if holds_secret(read(f"/proc/{p}/cmdline"))],
    "others' processes": lambda: [
        p for p in pids() if re.search(rb"courier\0(serve|clone|drain)", read(f"/proc/{p}/cmdline"))
    ],
    "root of process 1": lambda: listed("/proc/1/root/secrets"),
    "mounts": lambda: re.findall(BAD_MOUNTS, MOUNTS),
    "secrets": lambda: listed("/secrets"),
    "service account": lambda: listed("/var/run/secrets/kubernetes.io/serviceaccount"),
    "pristine": lambda: listed("/pristine"),
    "foreign work": lambda: listed("/workspace") if VERIFIER else listed("/checkout"),
    "shared memory": lambda: listed("/dev/shm"),
    "courier's files": lambda: [
        n for n in listed("/tmp") if re.search(r"git-|askpass|courier|nss", n)
    ],
    "home": lambda: [n for n in listed(os.environ["HOME"]) if re.search(r"ssh|git|netrc|kube", n)],
    "git's configuration": lambda: re.findall(
        r"credential|extraheader|://[^/\s]+@", read("/workspace/repo/.git/config").decode()
    ),
    "secrets in files": files_with_secrets,
    "task document": lambda: re.findall(
        r"http://[^\"]*(?:model|nats)", read("/task/task.json").decode()
    ),
    "write /": lambda: written("/x"),
    "write /usr": lambda: written("/usr/x"),
    "write /task": lambda: written("/task/x"),
    "write the door": lambda: "" if VERIFIER else written("/door/x"),
    "unlink the door": lambda: "" if VERIFIER else possible(os.unlink, "/door/door.sock"),
    "root": lambda: "root" if 0 in (os.getuid(), os.geteuid()) else "",
    "become root": lambda: possible(os.setuid, 0),
    "capabilities": lambda: [f for f in ("CapEff", "CapPrm", "CapBnd") if int(status(f), 16)],
    "new privileges": lambda: "" if status("NoNewPrivs") == "1" else "possible",
    "system calls": lambda: "" if status("Seccomp") == "2" else "unfiltered",
    "mount namespace": lambda: unshared(0x00020000),
    "user namespace": lambda: unshared(0x10000000),
    "mount": mounted,
    "device node": lambda: possible(os.mknod, "/tmp/node", 0o600 | stat.S_IFBLK, 0x0800),
    "raw socket": lambda: possible(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
    "packet socket": lambda: possible(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0x300),
    "devices": lambda: [n for n in listed("/dev") if n not in DEVICES],
    "core pattern": lambda: written("/proc/sys/kernel/core_pattern"),
    "control group": lambda: written("/sys/fs/cgroup/cgroup.procs"),
    "runtime sockets": lambda: [
        p for p in ("/run/containerd", "/var/run/docker.sock", "/run/podman") if Path(p).exists()
    ],
    "loopback ports": listening,
    "control socket": control_socket,
    "Kubernetes API": lambda: answered("https://kubernetes.default.svc/api/v1/secrets"),
    "kubelet": kubelet,
    "metadata address": metadata,
    "git server without a password": lambda: answered(f"{GIT}/info/refs?service=git-upload-pack"),
    "model without the key": lambda: answered(f"{MODEL}/v1/models"),
    "anonymous NATS": nats,
    "door's other methods": door_methods,
    "streamed reply": streamed,
}


def main():
    if not Path("/task/task.json").exists():
        sys.exit("only for a task's pod: as root elsewhere these probes do harm")
    bad = {name: found for name, probe in PROBES.items() if (found := probe())}
    cases = "".join(
        f'<testcase name="{n}">{"<failure/>" if n in bad else ""}</testcase>' for n in PROBES
    )
    if VERIFIER:
        report = Path(os.environ["AGENTTASK_REPORTS"], "probes.xml")
        report.write_text(f"<testsuite>{cases}</testsuite>", "utf-8")
    sys.stdout.write(f"{len(PROBES)} probes, found: {bad}\n")
    return 1 if bad else 0


sys.exit(main())
