"""Searches files line by line where ripgrep is not installed.

Run as a program of its own, so that a pattern that never ends can be killed.
Arguments: PATTERN, then `-` for standard input or `.` for the current folder, then
file name endings. Exit codes as ripgrep's: 0 hits, 1 none, 2 a bad pattern.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_LINE = 300
MAX_HITS = 2000
MAX_BYTES = 10 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Print `path:line:text` for every hit, for standard input without the path."""
    pattern, source, *endings = arguments
    try:
        expression = re.compile(pattern.encode())
    except re.error as error:
        sys.stdout.write(f"regex error: {error}\n")
        return 2
    found = 0
    for prefix, content in _stdin() if source == "-" else _files(Path(), tuple(endings)):
        for number, line in enumerate(content.splitlines(), 1):
            if found < MAX_HITS and expression.search(line):
                found += 1
                shown = line[:MAX_LINE].decode("utf-8", "replace")
                sys.stdout.write(f"{prefix}{number}:{shown}\n")
    return 0 if found else 1


def _stdin() -> Iterator[tuple[str, bytes]]:
    yield "", sys.stdin.buffer.read(MAX_BYTES)


def _files(folder: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.casefold() == ".git":
            continue
        if path.is_dir():
            yield from _files(path, endings)
        elif path.is_file() and (not endings or path.name.endswith(endings)):
            with path.open("rb") as file:
                content = file.read(MAX_BYTES)
            if b"\0" not in content[:8192]:
                yield f"{path}:", content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
