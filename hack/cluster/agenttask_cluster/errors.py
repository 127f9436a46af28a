"""The one error that a user of this tool can cause or repair."""


class ClusterError(Exception):
    """Printed as kind prints its errors, `ERROR: ...`, with exit status 1."""
