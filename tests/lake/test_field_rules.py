"""Fields of the envelope: each rule works the same in the decoder and the walk, or is rejected at import."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, Raw, UnsetType

from lake import field_rules
from lake.envelope import Envelope, Uri
from lake.envelope_errors import check_object, check_schema
from lake.formats import FORMATS
from lake.normalization import normalize

NUMBERS = [
    "0", "-0", "1", "2", "3", "-1", "4.5", "5.0", "1e1", "15e-1", "0.1", "1e400", "-1e400", "1E2", "9" * 30, "true", '"1"',
]  # fmt: skip
# JSON Schema calls these integers; the decoder accepts them in this spelling.
WHOLE = {"5.0": "5", "1e1": "10", "1E2": "100", "1e400": str(10**400), "-1e400": str(-(10**400))}
STRINGS = ['""', '"a"', '"ab"', '"abc"', '"aé"', '"\\u0061b"', '"\\ud800"', '"A1"', '"a\\nb"', '"ab\\n"', "1", "null"]
ARRAYS = ["[]", '["a"]', '["a","b"]', '["ab","b","c"]', '["a",1]', "{}"]
OBJECTS = ["{}", '{"a":1}', '{"a":1,"b":2}', '{"a":1,"a":2}', '{"a":9}', '{"a":"x"}', "[]", '{"a":1,"b":2,"c":3}']

RULES: list[tuple[Any, list[str]]] = [
    *[
        (Annotated[int, rule], NUMBERS)
        for rule in (Meta(ge=1), Meta(gt=1), Meta(le=2), Meta(lt=2), Meta(multiple_of=3))
    ],
    (int, NUMBERS),
    (Annotated[int, Meta(ge=1, lt=5, multiple_of=2)], NUMBERS),
    *[
        (Annotated[float, rule], NUMBERS)
        for rule in (Meta(ge=1), Meta(gt=1), Meta(le=2), Meta(lt=2), Meta(multiple_of=1.5), Meta(ge=0, le=1))
    ],
    (float, NUMBERS),
    *[
        (Annotated[str, rule], STRINGS)
        for rule in (Meta(min_length=2), Meta(max_length=1), Meta(pattern=rf"^[a-c]+{field_rules.END}"))
    ],
    (Annotated[str, Meta(min_length=1, max_length=2, pattern="a")], STRINGS),
    (Annotated[str, Meta(title="A", description="b", examples=["c"])], STRINGS),
    (Literal["a", "ab"], STRINGS),
    (bool, ["true", "false", "0", '"true"', "null"]),
    (Annotated[list[str], Meta(min_length=2)], ARRAYS),
    (Annotated[list[str], Meta(min_length=1, max_length=2)], ARRAYS),
    (list[Annotated[str, Meta(min_length=2)]], ARRAYS),
    (list[Annotated[str, Meta(pattern="a")]], ARRAYS),
    (list[list[int]], ["[[1],[2,3]]", "[[1],2]", "[]", '[["1"]]']),
    (Annotated[dict[str, int], Meta(min_length=1, max_length=2)], OBJECTS),
    (dict[str, Annotated[int, Meta(le=5)]], OBJECTS),
    (dict[str, Annotated[str, Meta(min_length=2)]], ['{"a":"x"}', '{"a":"xy"}', '{"a":"xy","b":"z"}']),
]


def refuses(text: str, kind: Any) -> bool:
    """Whether the decoder rejects a text. It does not accept integers such as 5.0, nor notice repeated keys."""
    try:
        msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
    return text == '{"v":{"a":1,"a":2}}'


@pytest.mark.parametrize(
    ("type", "values"), RULES, ids=lambda value: str(value)[:60] if not isinstance(value, list) else ""
)
def test_walk_rejects_exactly_what_the_decoder_rejects(type: Any, values: list[str]) -> None:
    kind = msgspec.defstruct("Body", [("v", type)], forbid_unknown_fields=True)
    field_rules.check_fields(kind, formats=FORMATS)
    accepted = 0
    for value in values:
        text = f'{{"v":{value}}}'
        found = check_object(text.encode(), kind)
        if isinstance(found, list) and len(found) == 1:
            assert found[0].pointer.startswith("/v"), value
        plain = WHOLE.get(value, value) if "int" in str(type) else value
        expected = refuses(f'{{"v":{plain}}}', kind)
        assert isinstance(found, list) == expected, (value, found)
        accepted += not expected
    assert 0 < accepted < len(values)


@pytest.mark.parametrize(
    ("type", "value", "message"),
    [
        (Annotated[str, Meta(min_length=2)], '"a"', "v: must have at least 2 characters"),
        (
            Annotated[str, Meta(pattern=r"^[a-z]{2}(?![\s\S])")],
            '"DE"',
            r"v: must match the pattern ^[a-z]{2}(?![\s\S])",
        ),
        (Annotated[int, Meta(gt=1)], "1", "v: must be greater than 1"),
        (Annotated[float, Meta(lt=1)], "1", "v: must be less than 1"),
        (Annotated[int, Meta(multiple_of=5)], "7", "v: must be a multiple of 5"),
        (float, "1e400", "v: is out of the range of numbers"),
        (Annotated[list[str], Meta(min_length=2)], "[]", "v: must have at least 2 entries"),
        (Annotated[dict[str, str], Meta(max_length=1)], '{"a":"","b":""}', "v: must have at most 1 entry, not 2"),
    ],
)
def test_broken_rule_is_described_in_words(type: Any, value: str, message: str) -> None:
    found = check_object(f'{{"v":{value}}}'.encode(), msgspec.defstruct("Body", [("v", type)]))
    assert isinstance(found, list)
    assert [one.message for one in found] == [message]


class Open(msgspec.Struct):
    """A struct that accepts any field."""

    a: str


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A struct with a default value."""

    a: str = "x"


class Looping(msgspec.Struct, forbid_unknown_fields=True):
    """A struct that contains itself."""

    a: "Looping | UnsetType" = UNSET


@pytest.mark.parametrize(
    ("type", "fault"),
    [
        (str | None, "a union of str and None"),
        (str | int, "a union of"),
        (Literal[1, 2], "a Literal may contain only strings"),
        (dict[int, str], "the keys of a dict must be plain str"),
        (tuple[str, ...], "vartuple is not supported"),
        (set[str], "set is not supported"),
        (bytes, "bytes is not supported"),
        (Any, "any is not supported"),
        (Raw, "only data may have the type Raw"),
        (list[Raw], "raw is not supported"),
        (Open, "must have forbid_unknown_fields"),
        (list[Inner], r"v\[\]\.a: the default of a nested field must be UNSET"),
        (Looping, "Looping contains itself"),
        (
            Annotated[str, Meta(extra_json_schema={"format": "colour"})],
            "the format 'colour' is unknown; a string may have one of email, instant",
        ),
        (list[Annotated[int, Meta(extra_json_schema={"format": "uri"})]], r"v\[\]: the format 'uri'"),
    ],
)
def test_field_type_that_the_walk_does_not_support_is_rejected_by_name(type: Any, fault: str) -> None:
    with pytest.raises(field_rules.WrongField, match=fault):
        field_rules.check_fields(msgspec.defstruct("Envelope", [("v", type)]), formats=FORMATS)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("^[a-z]{2}$", r"v: in a pattern, \$ also matches before a line break"),
        (r"^(?:a$|b)", r"\$ also matches"),
        (r"a\\$", r"\$ also matches"),
        (r"[\]$]$", r"\$ also matches"),
        (r"[]$]$", r"\$ also matches"),
        (r"^a\Z", r"v: JSON Schema has no"),
        (r"\Aa", r"JSON Schema has no"),
    ],
)
def test_pattern_whose_end_python_and_json_schema_read_differently_is_rejected(pattern: str, fault: str) -> None:
    for rules in (Meta(pattern=pattern), Meta(extra_json_schema={"pattern": pattern})):
        with pytest.raises(field_rules.WrongField, match=fault):
            field_rules.check_fields(msgspec.defstruct("Envelope", [("v", Annotated[str, rules])]), formats=FORMATS)


@pytest.mark.parametrize("pattern", [r"^a\$(?![\s\S])", r"[$]", r"[^$]", r"[]$]", r"[\]$]", r"\w[\$]", r"\\A"])
def test_pattern_may_contain_a_literal_dollar_sign(pattern: str) -> None:
    kind = msgspec.defstruct("Envelope", [("v", Annotated[str, Meta(pattern=pattern)])])
    field_rules.check_fields(kind, formats=FORMATS)


def test_default_of_a_field_must_be_a_plain_value() -> None:
    field_rules.check_fields(msgspec.defstruct("Envelope", [("v", str, "low"), ("w", int, 3)]), formats=FORMATS)
    with pytest.raises(field_rules.WrongField, match=r"Envelope.v: a default must be a value, not a factory"):
        field_rules.check_fields(msgspec.defstruct("Envelope", [("v", list[str], [])]), formats=FORMATS)


def test_formats_are_checked_in_nested_fields() -> None:
    kind = msgspec.defstruct(
        "Envelope", [("v", list[Uri]), ("w", dict[str, Uri]), ("x", str), ("y", Uri)], forbid_unknown_fields=True
    )
    tests = dict(field_rules.format_tests(kind, {name: holds for name, (holds, _) in FORMATS.items()}, but={("y",)}))
    assert set(tests) == {"v", "w"}
    assert tests["v"](["http://x"]) and not tests["v"](["http://x", "x"])
    assert tests["w"]({"a": "http://x"}) and not tests["w"]({"a": "x"})


# Computed before any field had a default. If they change, every record that is sent again becomes a new version.
STORED: list[tuple[dict[str, Any], str]] = [
    (
        {"_type": "message", "_vendor_ids": {"test": "v1"}, "_project_ids": ["proj-123"]},
        "17db5a9bb6cf49a31aa0405c452629e7578c5fdd7971168ec500cddf2c676683",
    ),
    (
        {
            "_type": "message",
            "_vendor_ids": {"b": "1", "a": "2"},
            "_project_ids": ["p2", "p1"],
            "_nature": "context",
            "_thread_id": "t",
            "_tags": ["a", "b"],
            "_participants": [{"id": "u", "role": "internal", "email": "a@b.c"}],
            "_attachments": [{"type": "file", "size": 5}],
            "_pii": {"sensitive_score": 0.5},
        },
        "7e1ad2dcc7c7dcf3dd496f00bfbe2d0331918428bbe1191c9918b5a85aadfe5b",
    ),
]
REST: dict[str, Any] = {
    "_schema_version": "1.0.0",
    "_event_at": "2026-01-31T12:00:00Z",
    "_product_id": "prod-abc",
    "data": {"text": "hello"},
}


@pytest.mark.parametrize(("fields", "digest"), STORED)
def test_digests_of_stored_records_never_change(fields: dict[str, Any], digest: str) -> None:
    envelope = check_schema(json.dumps(fields | REST).encode())
    assert isinstance(envelope, Envelope)
    assert normalize(envelope).digest.hex() == digest
