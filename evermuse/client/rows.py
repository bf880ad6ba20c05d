"""Decodes answers. Records may contain JSON that a fast decoder refuses, such as deep nesting and lone surrogates."""

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from lake.json_text import JsonText, decode_string

T = TypeVar("T")


def decode(text: bytes, kind: type[T]) -> T:
    """A value of ``kind``. Raises msgspec's DecodeError or ValidationError."""
    try:
        return msgspec.json.decode(text, type=kind)
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
    found = msgspec.json.decode(b"{%b}" % b",".join(plain), type=kind)
    for name, raw in cut.items():
        setattr(found, name, raw)
    return found


def decode_page(text: bytes, field: str, kind: type[T]) -> tuple[list[T], str | None]:
    """The rows of a page and its ``nextCursor``."""
    try:
        page = msgspec.json.decode(text, type=_page_type(field, kind))
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


_PAGE_TYPES: dict[tuple[str, Any], Any] = {}


def _page_type(field: str, kind: Any) -> Any:
    if (field, kind) not in _PAGE_TYPES:
        rename = {"rows": field, "cursor": "nextCursor"}
        _PAGE_TYPES[field, kind] = msgspec.defstruct(
            "Page", [("rows", list[kind]), ("cursor", str | None, None)], rename=rename
        )
    return _PAGE_TYPES[field, kind]
