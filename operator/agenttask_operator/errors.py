"""What can go wrong with the API server, sorted by what the caller must do.

ClusterError
 +-- NotFound       the object is gone: forget it
 +-- Conflict       somebody was faster: read again, decide again
 +-- Gone           the resourceVersion is too old: list again
 +-- Forbidden      not allowed, by RBAC, quota or an admission rule: tell, retry slowly
 +-- Refused        the request itself is wrong (400, 422): tell, retrying alone cannot help
 +-- Unavailable    overloaded, down or unreachable: retry later
      +-- Unauthorized   our credentials are not accepted (any longer): read them again

StoreUnavailable is NATS's: what it stores cannot be read now.
"""


class TracingMissing(Exception):
    """Traces are configured and cannot be sent."""


class ClusterError(Exception):
    """The API server did not do what was asked; the message is its own."""


class NotFound(ClusterError):
    """There is no such object."""


class Conflict(ClusterError):
    """The object exists already, or is newer than the one we changed."""


class Gone(ClusterError):
    """The resourceVersion or continue token is no longer served."""


class Forbidden(ClusterError):
    """The request is understood and not allowed."""


class Refused(ClusterError):
    """The request can never be accepted as it is."""


class Unavailable(ClusterError):
    """No answer, or one that says to come back later."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the server asked us to wait; 0 = it did not say."""


class Unauthorized(Unavailable):
    """The API server does not know us (any longer)."""


class StoreUnavailable(Exception):
    """NATS did not say whether it has what was asked for."""
