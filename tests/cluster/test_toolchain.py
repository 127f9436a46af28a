import pytest

from agenttask_cluster import toolchain


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go1.27", (1, 27, 0)), ("", (0, 0, 0))],
)
def test_go_version_is_read(text, version):
    assert toolchain.parse_version(text) == version
