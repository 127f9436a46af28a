"""One JSON object a line, so that a log collector needs no rules.

Never the text of a prompt, never a secret: callers log names, reasons and counts. The words
of a foreign exception may quote what it was given, so only its type and place are told.
"""

import json
import logging
import traceback
from datetime import UTC, datetime

FIELDS = ("namespace", "task", "run", "reason", "job")
"""What a record may carry in `extra`."""


class JSONFormatter(logging.Formatter):
    """A record as JSON: time, level, logger, message and the known extras."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, str] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        entry |= {f: str(getattr(record, f)) for f in FIELDS if hasattr(record, f)}
        if record.exc_info:
            entry["error"] = _place(record.exc_info[1])
        return json.dumps(entry)


def _place(error: BaseException | None) -> str:
    """Return the types of an exception and of its causes, and the lines it went through."""
    parts: list[str] = []
    while error:
        frames = traceback.extract_tb(error.__traceback__)
        where = "; ".join(f"{f.name} in {f.filename}:{f.lineno}" for f in frames)
        parts.append(f"{type(error).__name__} at {where}")
        error = error.__cause__ or error.__context__
    return " from ".join(parts)


def configure_logging(level: str) -> None:
    """Send everything to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiohttp.access", "asyncio", "kopf", "nats"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
