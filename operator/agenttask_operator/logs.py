"""One JSON object a line, so that a log collector needs no rules.

Never the text of a prompt, never a secret: callers log names, reasons and counts.
"""

import json
import logging
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
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(level: str) -> None:
    """Send everything to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiohttp.access", "asyncio", "kopf", "nats"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
