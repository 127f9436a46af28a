"""Real database servers for one test session, on free ports of 127.0.0.1.

Each is started once, ended by its pid, and keeps its data in a folder of its own.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.servers.certs import Certificates

ROOT = Path(__file__).parents[2]
PASSWORD = "pl4nted/Pa55-w0rd+x"
"""Distinctive, and different in its URL-quoted form."""
START_SECONDS = 60.0
SETUP = """
CREATE ROLE reader LOGIN PASSWORD '{password}';
CREATE ROLE writer LOGIN PASSWORD '{password}';
CREATE ROLE filer LOGIN PASSWORD '{password}' IN ROLE pg_read_server_files;
CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', CHECK (id > 0));
CREATE TABLE notes (text text);
CREATE SEQUENCE counter;
CREATE VIEW names AS SELECT name FROM items;
CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS $$DELETE FROM items; SELECT 1$$;
CREATE FUNCTION leave() RETURNS int LANGUAGE plpgsql AS $$BEGIN
  SET TRANSACTION READ WRITE; DELETE FROM items; RETURN 1; END$$;
CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS
  $$DELETE FROM items; SELECT 1$$;
CREATE PROCEDURE wipe() LANGUAGE plpgsql AS $$BEGIN COMMIT; DELETE FROM items; COMMIT; END$$;
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 3) n;
GRANT ALL ON ALL TABLES IN SCHEMA public TO reader, writer;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO reader, writer;
"""


def program(name: str, package: str, *folders: str) -> str:
    """Return a program's path, or fail naming the Debian package that has it."""
    found = shutil.which(name)
    for folder in folders:
        found = found or next((str(p) for p in sorted(Path("/").glob(f"{folder}/{name}"))), None)
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install {package}", pytrace=False)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def postgresql(certificates: Certificates) -> Iterator[int]:
    """Run PostgreSQL, with TLS for who asks for it; every role's password is PASSWORD."""
    with _folder() as folder:
        cert, key = _own_copies(certificates, folder)
        who = _unprivileged(folder)
        binaries = "usr/lib/postgresql/*/bin"
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        _own(secret)
        argv = [program("initdb", "postgresql", binaries), "-D", str(folder / "data"), "-U", "root"]
        argv += ["--no-sync", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
        subprocess.run([*who, *argv, "--locale=C"], check=True, capture_output=True, cwd=folder)
        port = free_port()
        server = program("postgres", "postgresql", binaries)
        argv = [server, "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1"]
        argv += ["-k", "", "-c", "fsync=off", "-c", "max_prepared_transactions=2"]
        argv += ["-c", "ssl=on", "-c", f"ssl_cert_file={cert}", "-c", f"ssl_key_file={key}"]
        with _running([*who, *argv], folder, lambda: _set_up(port)):
            yield port


@contextlib.contextmanager
def redis(certificates: Certificates) -> Iterator[tuple[int, int]]:
    """Run Redis on a plain and a TLS port; the account `agent` may do everything."""
    binary, port, tls = program("redis-server", "redis-server"), free_port(), free_port()
    with _folder() as folder:
        settings = f'bind 127.0.0.1\nport {port}\nsave ""\ndir {folder}\nuser default off\n'
        settings += f"user agent on >{PASSWORD} ~* &* +@all\n"
        settings += f"user meek on >{PASSWORD} ~* &* +@all -incr\n"
        settings += f"user careful on >{PASSWORD} ~* +@read -@dangerous +command|info +select\n"
        settings += f"tls-port {tls}\ntls-auth-clients no\ntls-ca-cert-file {certificates.ca}\n"
        settings += f"tls-cert-file {certificates.cert}\ntls-key-file {certificates.key}\n"
        (folder / "redis.conf").write_text(settings, encoding="utf-8")
        with _running([binary, str(folder / "redis.conf")], folder, lambda: _accepts(tls)):
            yield port, tls


@contextlib.contextmanager
def neo4j() -> Iterator[int]:
    """Run Neo4j Community; the account `neo4j` has PASSWORD."""
    program("java", "openjdk-17-jre-headless")
    program("mvn", "maven")
    with _folder() as folder:
        argv = [str(ROOT / "hack" / "neo4j" / "run"), str(folder / "neo4j")]
        environment = {**os.environ, "NEO4J_PASSWORD": PASSWORD}
        port = folder / "output"

        def started() -> bool:
            return bool(port.read_text(encoding="utf-8").strip())

        with _running(argv, folder, started, environment, seconds=300):
            yield int(port.read_text(encoding="utf-8").split()[-1])


def _set_up(port: int) -> bool:
    try:
        with psycopg.connect(dsn(port), autocommit=True) as connection:
            connection.execute(SETUP.format(password=PASSWORD).encode())
    except psycopg.OperationalError:
        return False
    return True


def dsn(port: int) -> str:
    """Return how the superuser connects, for what tests look at behind the scenes."""
    return f"host=127.0.0.1 port={port} user=root password={PASSWORD} dbname=postgres"


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def _running(
    argv: list[str],
    folder: Path,
    ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[None]:
    output, errors = folder / "output", folder / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=out, stderr=err)
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(
                    f"{argv[0]} did not start: {errors.read_text(errors='replace')[-2000:]}"
                )
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that an unprivileged server can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="agenttask-db-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> list[str]:
    """Return what starts a program as nobody, where we are root; PostgreSQL insists."""
    if os.getuid() != 0:
        return []
    _own(folder)
    who = pwd.getpwnam("nobody")
    ids = [f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
    return [program("setpriv", "util-linux"), *ids, "--"]


def _own_copies(certificates: Certificates, folder: Path) -> tuple[Path, Path]:
    """Return copies that PostgreSQL accepts: it wants to own its key."""
    _own(folder)
    copies = folder / "server.crt", folder / "server.key"
    for original, copy in zip((certificates.cert, certificates.key), copies, strict=True):
        shutil.copyfile(original, copy)
        copy.chmod(0o600)
        _own(copy)
    return copies


def _own(path: Path) -> None:
    if os.getuid() == 0:
        shutil.chown(path, "nobody")
