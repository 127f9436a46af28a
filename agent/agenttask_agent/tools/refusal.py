"""The two ways an operation says no. The text is what the model reads."""


class ToolError(Exception):
    """The operation cannot be done as asked."""


class Denied(ToolError):
    """The operation is refused by policy."""
