"""Decodes answers. Records may contain JSON that a fast decoder refuses, such as deep nesting and lone surrogates."""

import threading
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from lake.json_text import JsonText, decode_string

T = TypeVar("T")

_making = threading.RLock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_page_types: dict[tuple[str, Any], Any] = {}


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a type. Made by one thread only: msgspec crashes if several use a structure for the first time."""
    found = _decoders.get(kind)
    if found is None:
        with _making:
            found = _decoders.get(kind) or msgspec.json.Decoder(kind)
            _decoders[kind] = found
    return found


def decode(text: bytes, kind: type[T]) -> T:
    """A value of ``kind``. Raises msgspec's DecodeError or ValidationError."""
    try:
        found: T = decoder_of(kind).decode(text)
        return found
    except (msgspec.DecodeError, RecursionError):
        if not issubclass(kind, Struct):
            raise
        return _patiently(text, kind)


def _patiently(text: bytes, kind: type[T]) -> T:
    """An object whose Raw fields are cut out of the text without being decoded."""
    text = text.strip(b" \t\r\n")
    if text[:1] != b"{":
        raise msgspec.ValidationError("expected an object")
    json = JsonText(text)
    raw_names = {field.encode_name: field.name for field in msgspec.structs.fields(kind) if field.type is Raw}  # type: ignore[arg-type]
    plain: list[bytes] = []
    cut: dict[str, Raw] = {}
    for key, start, end in json.members(0):
        if (name := raw_names.get(decode_string(key))) is None:
            plain.append(b"%b:%b" % (key, text[start:end]))
        else:
            plain.append(b"%b:null" % key)
            cut[name] = Raw(text[start:end])
    found: T = decoder_of(kind).decode(b"{%b}" % b",".join(plain))
    for name, raw in cut.items():
        setattr(found, name, raw)
    return found


def decode_page(text: bytes, field: str, kind: type[T]) -> tuple[list[T], str | None]:
    """The rows of a page and its ``nextCursor``."""
    try:
        page = decoder_of(_page_type(field, kind)).decode(text)
        return page.rows, page.cursor
    except (msgspec.DecodeError, RecursionError):
        json = JsonText(text.strip(b" \t\r\n"))
    rows: list[T] = []
    cursor: str | None = None
    for key, start, end in json.members(0):
        name = decode_string(key)
        if name == field:
            rows = [decode(json.raw[first:last], kind) for first, last in json.elements(start)]
        elif name == "nextCursor":
            cursor = msgspec.json.decode(json.raw[start:end], type=str | None)
    return rows, cursor


def _page_type(field: str, kind: Any) -> Any:
    with _making:
        if (field, kind) not in _page_types:
            rename = {"rows": field, "cursor": "nextCursor"}
            _page_types[field, kind] = msgspec.defstruct(
                "Page", [("rows", list[kind]), ("cursor", str | None, None)], rename=rename
            )
        return _page_types[field, kind]
