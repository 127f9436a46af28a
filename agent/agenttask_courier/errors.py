"""Errors as vLLM writes them, so that one reader in the agent understands both."""

from aiohttp import web


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind

    def response(self) -> web.Response:
        """Return the answer."""
        error = {"message": str(self), "type": self.kind, "code": self.status}
        return web.json_response({"error": error}, status=self.status)


def bad_request(message: str) -> Refused:
    """Return the refusal of a request that we do not understand or allow."""
    return Refused(400, "BadRequestError", message)


def too_large(limit: int) -> Refused:
    """Return the refusal of a body beyond its cap."""
    return Refused(413, "RequestEntityTooLarge", f"more than {limit} bytes")
