"""Renames an identifier in a source file, in code and not in longer words. Pure."""

import re

SOURCE = (".py", ".md", ".rst", ".txt", ".toml", ".cfg", ".js", ".ts", ".go", ".rs", ".sh")


def rename(path: str, text: str, old: str, new: str) -> str:
    """Return the text with the identifier replaced; other kinds of files stay."""
    if not path.endswith(SOURCE):
        return text
    return re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", new, text)
