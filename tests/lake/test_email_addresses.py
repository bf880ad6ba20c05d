"""E-mail addresses: the validator and the JSON Schema accept deliverable addresses and reject all others."""

import jsonschema
import pytest

from lake import json_schema
from lake.email_addresses import is_email
from lake.envelope import Envelope
from lake.envelope_errors import check_schema
from tests.lake.test_envelope import compact
from tests.records import record

REAL = [
    "a@b.example",
    "root@localhost",
    "john.doe+tag@sub.example.co.uk",
    "o'brien!#$%&*/=?^_`{|}~-@example.com",
    "da..me@docomo.example",
    "name.@docomo.example",
    ".name@docomo.example",
    "अजय@डाटा.भारत",
    "用户@例子.广告",
    "θσερ@εχαμπλε.ψομ",
    "Dörte@Sörensen.example.com",
    "коля@пример.рф",
    "محمد@مثال.إختبار",
    "ศรี@ตัวอย่าง.ไทย",
    "පුද්ගල@ශ්‍රී.ලංකා",
    "me@نامه\u200cای.ایران",
    "i@❤.ws",
    "cel@col·lega.cat",
    "x@xn--80akhbyknj4f.example",
    "x@valid-----hyphens.example",
    "x@my_host.local",
    "x@3com.example",
    "x@" + "d" * 64 + ".example",
    "l" * 200 + "@example.com",
    '"john doe"@example.com',
    '"a@b"@example.com',
    '"quote \\" and \\\\ inside"@example.com',
    '"tab\tand\x01control"@example.com',
    '""@example.com',
    "user@[192.0.2.1]",
    "user@[IPv6:2001:db8::1]",
    "user@[IPv6:::ffff:192.0.2.1]",
    "user@[2001:db8::1]",
    "user@[::1]",
]
MALFORMED = [
    "",
    "plain",
    "@example.com",
    "a@",
    "@",
    "..@example.com",
    "a b@example.com",
    "a@exa mple.com",
    " a@example.com",
    "a@example.com ",
    "a@example.com\n",
    "a\x00@example.com",
    "a\x85@example.com",
    "a\u3000b@example.com",
    "a@b\u00a0c.example",
    "a@b\x7f.example",
    "a@b@c.example",
    "a@b..example",
    "a@.example",
    "a@example.",
    "a@-b.example",
    "a@b-.example",
    "a@_b.example",
    "a@b.example/x",
    "a,b@example.com",
    "John <a@example.com>",
    "<a@example.com>",
    '"a@example.com',
    '"a"b@example.com',
    'a"b"@example.com',
    '"a\\"@example.com',
    "a@[]",
    "a@[192.0.2]",
    "a@[192.0.2.1",
    "a@[not an address]",
    "a@192.0.2.1]",
    "mailto:a@example.com",
]


def by_schema(email: str) -> bool:
    schema = json_schema.envelope()
    value = record(participants=[{"id": "u", "role": "external", "email": email}])
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def by_validator(email: str) -> bool:
    value = record(participants=[{"id": "u", "role": "external", "email": email}])
    return isinstance(check_schema(compact(value)), Envelope)


@pytest.mark.parametrize("email", REAL, ids=ascii)
def test_deliverable_email_address_is_valid(email: str) -> None:
    assert (is_email(email), by_validator(email), by_schema(email)) == (True, True, True)


@pytest.mark.parametrize("email", MALFORMED, ids=ascii)
def test_malformed_email_address_is_invalid(email: str) -> None:
    assert (is_email(email), by_validator(email), by_schema(email)) == (False, False, False)


def test_email_address_may_have_320_characters() -> None:
    assert by_validator("ü" * 308 + "@example.com")
    assert by_schema("ü" * 308 + "@example.com")
    assert not by_validator("ü" * 309 + "@example.com")
    assert not by_schema("ü" * 309 + "@example.com")


@pytest.mark.parametrize("text", ["a" * 300_000, '"' + "\\a" * 300_000, "a@" + "b-" * 300_000, "a@" + "b." * 300_000,
                                  "." * 300_000, "a@[" + ":" * 300_000, "a@" + "_-" * 300_000 + "b"])  # fmt: skip
def test_long_text_is_rejected_as_email_address_without_backtracking(text: str) -> None:
    """With a pattern that backtracks, this test would never end."""
    assert not is_email(text)


@pytest.mark.parametrize("size", [5, 5.0, 5e0, 0.0, 10**22, 1e22])
def test_schema_and_validator_accept_the_same_spellings_of_an_integer(size: float) -> None:
    value = record(attachments=[{"type": "file", "size": size}])
    assert jsonschema.Draft202012Validator(json_schema.envelope()).is_valid(value)
    assert isinstance(check_schema(compact(value)), Envelope)
