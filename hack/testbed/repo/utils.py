"""Small helpers used all over the place."""


def add(a, b):
    """Return the sum of two numbers."""
    return a + b


def slugify(text):
    """Turn a title into the part of a URL: lower case, words joined by dashes."""
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return "-".join(words)
