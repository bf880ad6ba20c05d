"""Extracts readable text from HTML, for mails without plain text. It takes linear time for any input."""

import html
import re

# Elements that are not shown. An unclosed one extends to the end of the document.
_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style|head|title)\b[^<>]*+>.*?(?:</\1\s*>|\Z)|<!\[CDATA\[|\]\]>",
    re.IGNORECASE | re.DOTALL,
)
_BREAK = re.compile(
    r"<(?:br|/?p|/?div|/?tr|/?li|/?ul|/?ol|/?table|/?h[1-6]|/?blockquote|/?pre|hr)\b[^<>]*+>", re.IGNORECASE
)
_CELL = re.compile(r"</t[dh]\s*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z!?][^<>]*+>")
_BLANKS = re.compile(r"[ \t\r\f\v\xa0]+")
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*+\n){2,}")


def text_of(markup: str) -> str:
    """The text between the tags, with line breaks where blocks end."""
    text = _HIDDEN.sub(" ", markup)
    text = text.replace("\r\n", "\n").replace("\n", " ")
    text = _CELL.sub("\t", _BREAK.sub("\n", text))
    text = html.unescape(_TAG.sub("", text))
    lines = [_BLANKS.sub(" ", line).strip() for line in text.split("\n")]
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()
