"""Which SQL statements are passed on at all, by their first word.

The second wall. The first is the server: a read-only transaction, one statement per
message, and a role that is no superuser.
"""

import re

READ_WORDS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN"})
_REFUSED_WORDS = """
    ABORT BEGIN CLOSE COMMIT COPY DEALLOCATE DECLARE DISCARD END EXECUTE FETCH LISTEN LOAD LOCK
    MOVE NOTIFY PREPARE RELEASE RESET ROLLBACK SAVEPOINT SET START UNLISTEN
"""
REFUSED_WORDS = frozenset(_REFUSED_WORDS.split())
"""Sessions, transactions and server files are ours, also where writing is allowed."""
_SKIPPED = re.compile(r"[\s(;]+|--[^\n\r]*")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_WORD = re.compile(r"[A-Za-z_]+")


def refusal(query: str, read_only: bool) -> str | None:
    """Return why the statement is not passed on, or None."""
    word = first_word(query)
    if "\x00" in query:
        return "a statement has no NUL characters"
    if word in REFUSED_WORDS:
        return f"{word} is not allowed: session and transaction are not yours"
    if read_only and word not in READ_WORDS:
        words = ", ".join(sorted(READ_WORDS))
        return f"this connection is read-only: a statement begins with one of {words}"
    return None


def first_word(query: str) -> str:
    """Return the first word in capitals, comments and parentheses skipped."""
    position = 0
    while position < len(query):
        if query.startswith("/*", position):
            position = _after_comment(query, position)
        elif skipped := _SKIPPED.match(query, position):
            position = skipped.end()
        else:
            break
    word = _WORD.match(query, position)
    return word[0].upper() if word else ""


def _after_comment(query: str, start: int) -> int:
    """Return where the comment ends; comments of SQL nest."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(query, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(query)
