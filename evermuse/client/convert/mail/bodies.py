"""The visible content of a mail: text, HTML, attached mails and files."""

from dataclasses import dataclass, field

from evermuse.client.convert.decoding import decoded
from evermuse.client.convert.mail.html_text import text_of
from evermuse.client.convert.mail.parts import Part, leaves

_SHOWN = ("text/plain", "text/html")


@dataclass(slots=True)
class Body:
    """``is_from_html``: whether some of the text was extracted from HTML. ``named_text``: the file that is also shown."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    files: list[Part] = field(default_factory=list)
    is_from_html: bool = False
    named_text: Part | None = None

    @property
    def text(self) -> str:
        return "\n\n".join(text for text in self.texts if text)

    @property
    def html(self) -> str:
        return "\n".join(self.htmls)


def body_of(root: Part) -> Body:
    """The body. Every leaf part becomes text, HTML or a file. A first text with a file name is both, so the name is kept."""
    body = Body()
    _take(root, body, is_root=True)
    return body


def text_of_part(part: Part) -> str:
    """A text part's content, with line feeds."""
    text = decoded(part.content(), part.parameters.get("charset"))
    return text.replace("\r\n", "\n") if "\r" in text else text


def _take(part: Part, body: Body, *, is_root: bool = False) -> None:
    if part.type == "multipart/alternative" and part.children:
        _take_alternative(part, body)
    elif part.children:
        for child in part.children:
            _take(child, body, is_root=is_root and child is part.children[0])
    elif not _is_shown(part, is_root=is_root):
        body.files.append(part)
    else:
        if part.filename:
            body.files.append(part)
            body.named_text = part
        if part.type == "text/html":
            _add_html(part, body, with_text=True)
        else:
            body.texts.append(text_of_part(part))


def _take_alternative(part: Part, body: Body) -> None:
    """The plain text and the HTML of one multipart/alternative. Other alternatives (calendars, AMP) become files."""
    everything = leaves(part)
    plain = next((leaf for leaf in everything if leaf.type == "text/plain" and _is_shown(leaf)), None)
    html = next((leaf for leaf in everything if leaf.type == "text/html" and _is_shown(leaf)), None)
    text = text_of_part(plain) if plain else ""
    if plain:
        body.texts.append(text)
    if html:
        # Some senders leave the plain text empty.
        _add_html(html, body, with_text=not text.strip())
    body.files.extend(leaf for leaf in everything if leaf is not plain and leaf is not html)


def _add_html(part: Part, body: Body, *, with_text: bool) -> None:
    markup = text_of_part(part)
    body.htmls.append(markup)
    if with_text:
        body.texts.append(text_of(markup))
        body.is_from_html = True


def _is_shown(part: Part, *, is_root: bool = False) -> bool:
    return part.type in _SHOWN and part.disposition != "attachment" and (is_root or not part.filename)
