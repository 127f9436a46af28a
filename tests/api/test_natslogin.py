"""What nats-py is told, and what is said of a file that is of no use."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.servers import natslogins

from agenttask_api.natslogin import BadLogin, NatsLogin, connect_options, tls_files


def test_nobody_in_particular_is_told_by_no_option():
    assert connect_options(NatsLogin()) == {}


def test_words_are_passed_on():
    login = NatsLogin(username="u", password="p", token="t")
    assert connect_options(login) == {"user": "u", "password": "p", "token": "t"}


@pytest.mark.parametrize(
    ("way", "field", "file", "option"),
    [
        (natslogins.creds, "creds", "user.creds", "user_credentials"),
        (natslogins.nkey, "nkey", "nkey", "nkeys_seed"),
    ],
)
def test_files_are_passed_on_by_name(
    way: Callable[[Path], natslogins.Login], field: str, file: str, option: str, tmp_path: Path
):
    path = str(natslogins.write(tmp_path / "held", way(tmp_path).credentials) / file)
    assert connect_options(NatsLogin(**{field: path})) == {option: path}


def test_a_folder_as_a_tls_secret_has_what_is_there(tmp_path: Path):
    natslogins.write(tmp_path, {"ca.crt": "x"})
    assert tls_files(tmp_path) == {"ca": str(tmp_path / "ca.crt")}
    natslogins.write(tmp_path, {"tls.crt": "x"})
    assert tls_files(tmp_path) == {
        "ca": str(tmp_path / "ca.crt"),
        "cert": str(tmp_path / "tls.crt"),
        "key": str(tmp_path / "tls.key"),
    }


def test_only_the_named_authority_is_trusted(tmp_path: Path):
    held = natslogins.write(tmp_path / "held", natslogins.mutual_tls(tmp_path).tls)
    context = connect_options(NatsLogin(**tls_files(held)))["tls"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    (authority,) = context.get_ca_certs()
    assert authority["subject"] == authority["issuer"]


FIELDS = ["creds", "nkey", "ca", "cert", "key"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("content", [None, b"junk", b"SUjunk", b"junk \xff"])
def test_a_file_that_is_of_no_use_is_named_and_not_quoted(
    field: str, content: bytes | None, tmp_path: Path
):
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadLogin, match=f"^{field} {path}: ") as caught:
        connect_options(NatsLogin(**{field: str(path)}))
    assert (caught.value.field, caught.value.path) == (field, str(path))
    assert "junk" not in str(caught.value)


@pytest.mark.parametrize("spoilt", ["tls.crt", "tls.key"])
@pytest.mark.parametrize("content", ["junk", None])
def test_a_certificate_without_its_key_is_said(spoilt: str, content: str | None, tmp_path: Path):
    held = natslogins.write(tmp_path / "held", natslogins.mutual_tls(tmp_path).tls)
    login = NatsLogin(**tls_files(held))
    if content is None:
        (held / spoilt).unlink()
    else:
        (held / spoilt).write_text(content, "utf-8")
    with pytest.raises(BadLogin, match=spoilt) as caught:
        connect_options(login)
    assert "junk" not in str(caught.value)
