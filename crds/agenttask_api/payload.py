"""The form of what people write by hand into a NATS message: snake_case, nothing unknown."""

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """An immutable payload; a misspelt field is refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


REPLY_PATTERN = r"^(_INBOX[A-Za-z0-9_-]*|_R_)(\.[A-Za-z0-9_-]+)+$"
"""Inboxes, and what NATS makes of them between accounts: no other subject is answered to."""
