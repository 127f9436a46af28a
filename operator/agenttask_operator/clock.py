"""Moments as Kubernetes writes them: UTC, RFC 3339, whole seconds."""

from datetime import UTC, datetime


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


def parse_time(text: object) -> datetime | None:
    """Return the moment that a Kubernetes time names; None for none or nonsense."""
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def format_time(moment: datetime) -> str:
    """Return the moment as Kubernetes writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_between(start: datetime | None, end: datetime) -> float:
    """Return the seconds from start to end, never negative; 0 without a start."""
    return max(0.0, (end - start).total_seconds()) if start else 0.0
