"""Has the courier execute statements, through the door."""

import httpx
from pydantic import ValidationError

from agenttask_api.databases import (
    ANSWER,
    DatabaseAnswer,
    DatabaseError,
    DatabaseRequest,
    Failure,
)

WAIT_SECONDS = 60.0
"""Beyond the statement's own time: for a place in the courier's queue and to connect."""


class DoorDatabases:
    """Has the courier execute them."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def execute(self, name: str, request: DatabaseRequest) -> DatabaseAnswer:
        """Return the courier's answer; raises DatabaseError as the courier says it."""
        response = self._post(name, request)
        if response.status_code != httpx.codes.OK:
            raise _told(response)
        try:
            return ANSWER.validate_json(response.content)
        except ValidationError:
            raise DatabaseError(Failure.UNAVAILABLE, "the courier answered nonsense") from None

    def _post(self, name: str, request: DatabaseRequest) -> httpx.Response:
        try:
            body = request.model_dump_json(by_alias=True)
        except ValueError:
            raise DatabaseError(Failure.STATEMENT, "the text is no valid Unicode") from None
        try:
            return self._client.post(
                f"/db/{name}",
                content=body,
                timeout=request.seconds + WAIT_SECONDS,
                headers={"content-type": "application/json"},
            )
        except httpx.TransportError as error:
            what = f"the courier did not answer: {type(error).__name__}"
            raise DatabaseError(Failure.UNAVAILABLE, what) from None


def _told(response: httpx.Response) -> DatabaseError:
    try:
        told = response.json()["error"]
        kind, message = str(told["type"]), str(told["message"])
        if kind not in set(Failure) and response.is_client_error:
            return DatabaseError(Failure.STATEMENT, message)
        return DatabaseError(Failure(kind), message)
    except (ValueError, KeyError, TypeError):
        what = f"the courier refused the request: {response.status_code}"
        return DatabaseError(Failure.UNAVAILABLE, what)
