from agenttask_cluster import build


def test_build_mounts_nothing_by_default(tmp_path):
    assert build.find_mounts({}, tmp_path) == {}


def test_build_mounts_the_authorities_and_the_index(tmp_path):
    bundle = tmp_path / "bundle.crt"
    bundle.touch()
    env = {"SSL_CERT_FILE": str(bundle), "PIP_INDEX_URL": "https://index.invalid"}
    mounts = build.find_mounts(env, tmp_path)
    assert mounts[str(bundle)] == "/etc/ssl/certs/ca-certificates.crt"
    assert "index-url = https://index.invalid" in (tmp_path / "pip.conf").read_text()


def test_build_with_docker_mounts_nothing():
    builder = build.Builder(("docker",))
    assert "-v" not in build.build_options(builder, "localhost/base:1", {"/a": "/b"}, {})
