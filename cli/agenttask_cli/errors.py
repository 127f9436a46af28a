"""How a command ends early, and with which exit code."""

EX_SUCCEEDED = 0
EX_FAILED = 1
EX_BAD_INPUT = 2
EX_INTERRUPTED = 130
"""128 + SIGINT, as a shell reports a program that Ctrl-C ended."""


class BadInput(Exception):
    """What the user gave cannot be used; each line says where and what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Failed(Exception):
    """What was asked for could not be done; the text says why and what to do."""


class Interrupted(BaseException):
    """Ctrl-C before there was anything to cancel gently; not an Exception, so nobody eats it."""
