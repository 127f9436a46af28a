import pytest

from agenttask_cluster import images

LISTING = """\
REF TYPE DIGEST SIZE PLATFORMS LABELS
localhost/a:1 application/json sha256:m 1 MiB linux/amd64 -
docker.io/library/b:1 application/json sha256:m 1 MiB linux/amd64 -
sha256:i application/json sha256:m 1 MiB linux/amd64 -
"""


@pytest.mark.parametrize(
    ("image", "number", "expected"),
    [
        pytest.param("localhost/a:1", "sha256:i", True, id="the same image"),
        pytest.param("b:1", "sha256:i", True, id="a short name"),
        pytest.param("localhost/a:1", "sha256:j", False, id="another build"),
        pytest.param("localhost/c:1", "sha256:i", False, id="another name"),
    ],
)
def test_image_is_not_loaded_twice(image, number, expected):
    assert images.is_loaded(LISTING, image, number) is expected
