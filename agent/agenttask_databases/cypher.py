"""Which Cypher statements are passed on, by their first word and by the server's plan.

Text alone cannot decide it: Cypher knows comments, back-ticks and Unicode escapes
everywhere. So the server plans the statement first (`EXPLAIN` executes nothing), and
what the plan contains is what is judged.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

READ_WORDS = frozenset({"CALL", "MATCH", "OPTIONAL", "RETURN", "SHOW", "UNWIND", "WITH"})
WRITE_WORDS = READ_WORDS | {"CREATE", "DROP", "FOREACH", "MERGE"}
READ_PROCEDURES = (
    "db.labels", "db.relationshiptypes", "db.propertykeys", "db.info", "db.ping",
    "db.schema.nodetypeproperties", "db.schema.reltypeproperties", "db.schema.visualization",
    "db.index.fulltext.querynodes", "db.index.fulltext.queryrelationships",
    "db.index.fulltext.listavailableanalyzers",
    "db.index.vector.querynodes", "db.index.vector.queryrelationships",
)  # fmt: skip
WRITE_PROCEDURES = (
    *READ_PROCEDURES, "db.awaitindex", "db.awaitindexes", "db.createlabel", "db.createproperty",
    "db.createrelationshiptype", "db.create.setnodevectorproperty",
    "db.create.setrelationshipvectorproperty",
)  # fmt: skip
SERVER_OPERATORS = frozenset(
    {"AdministrationCommand", "ShowSettings", "ShowTransactions", "TerminateTransactions"}
)
_SKIPPED = re.compile(r"(?:[\s;]+|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
_SHOW = re.compile(r"SHOW\s+(ALL\s+)?(INDEX(ES)?|CONSTRAINTS?)\s*;?\s*", re.IGNORECASE)
_PROCEDURE = re.compile(r"\s*([\w.`]+)")
_LOADERS = re.compile(r"\bapoc\s*[.`]", re.IGNORECASE)


def refusal(query: str, read_only: bool) -> str | None:
    """Return why the statement is not even planned by the server, or None."""
    start = _after_comments(query)
    found = _WORD.match(query, start)
    word = found[0].upper() if found else ""
    if word not in (READ_WORDS if read_only else WRITE_WORDS):
        words = ", ".join(sorted(READ_WORDS if read_only else WRITE_WORDS))
        return f"a statement on this connection begins with one of {words}"
    if word == "SHOW" and not _SHOW.fullmatch(query, start):
        return "of SHOW, only SHOW INDEXES and SHOW CONSTRAINTS are allowed, without more"
    return None


def refusal_of_plan(plan: Mapping[str, Any] | None, read_only: bool) -> str | None:
    """Return why the statement, as the server planned it, is not executed, or None."""
    if plan is None:
        return "the server shows no plan of this statement"
    for step in _steps(plan):
        if why := _refusal_of_step(step, read_only):
            return why
    return None


def _refusal_of_step(step: Mapping[str, Any], read_only: bool) -> str | None:
    operator, _, database = str(step.get("operatorType", "")).partition("@")
    details = str((step.get("args") or {}).get("Details", ""))
    if operator == "LoadCSV":
        return "LOAD CSV is not allowed: it reads the server's files and network"
    if operator in SERVER_OPERATORS or database == "system":
        return "commands for the server itself are not allowed"
    if operator == "ProcedureCall":
        return _refusal_of_call(details, read_only)
    if _LOADERS.search(details):
        return "functions of APOC are not allowed"
    return None


def _refusal_of_call(details: str, read_only: bool) -> str | None:
    found = _PROCEDURE.match(details)
    name = found[1].replace("`", "").lower() if found else ""
    if name in (READ_PROCEDURES if read_only else WRITE_PROCEDURES):
        return None
    return f"the procedure {name or 'of this statement'} is not allowed"


def _steps(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    pending = [plan]
    while pending:
        step = pending.pop()
        yield step
        pending.extend(step.get("children") or ())


def _after_comments(query: str) -> int:
    skipped = _SKIPPED.match(query)
    return skipped.end() if skipped else 0
