"""A text file between its bytes and what the model sees.

The model reads and writes plain lines. What it does not see stays as it was: byte
order mark, CRLF line endings, a missing or present final newline.
"""

from dataclasses import dataclass

from agenttask_agent.tools.refusal import ToolError

BOM = b"\xef\xbb\xbf"
SNIFF_BYTES = 8192


@dataclass(frozen=True)
class TextFile:
    """Text with LF line endings, and how it is stored."""

    text: str
    newline: str = "\n"
    bom: bool = False

    def encode(self) -> bytes:
        """Return the bytes to store; raises ToolError for text that has none."""
        text = self.text if self.newline == "\n" else self.text.replace("\n", self.newline)
        try:
            return (BOM if self.bom else b"") + text.encode()
        except UnicodeEncodeError as error:
            raise ToolError("the text holds characters that UTF-8 cannot store") from error

    def with_text(self, text: str) -> "TextFile":
        """Return the file with other text, stored the same way."""
        plain = text.replace("\r\n", "\n") if self.newline == "\r\n" else text
        return TextFile(plain, self.newline, self.bom)


def decode(content: bytes, path: str) -> TextFile:
    """Return the bytes as text; raises ToolError for binary content."""
    if is_binary(content):
        raise ToolError(f"{path!r} is a binary file")
    bom = content.startswith(BOM)
    try:
        text = content[len(BOM) if bom else 0 :].decode()
    except UnicodeDecodeError as error:
        raise ToolError(f"{path!r} is not UTF-8 text (byte {error.start})") from error
    all_crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    return (
        TextFile(text.replace("\r\n", "\n"), "\r\n", bom) if all_crlf else TextFile(text, bom=bom)
    )


def is_binary(content: bytes) -> bool:
    """Say whether the beginning holds a NUL byte, as git decides it."""
    return b"\0" in content[:SNIFF_BYTES]
