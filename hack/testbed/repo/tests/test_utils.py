from utils import add, slugify


def test_add():
    assert add(2, 3) == 5


def test_slugify_joins_words():
    assert slugify("Hello World") == "hello-world"


def test_slugify_drops_punctuation():
    assert slugify("What's new, Kubernetes?") == "what-s-new-kubernetes"
