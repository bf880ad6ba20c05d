"""The parts of mails: malformed, deep and wide structures, and those of the standard library."""

import email
import email.encoders
import email.mime.multipart
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evermuse.client.convert.mail.parts import leaves, structure_of
from tests.evermuse.client.convert.running import HEAD, Convert


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + "Content-Type: multipart/mixed; boundary=b\n\nno part\n",
        HEAD + "Content-Type: multipart/mixed\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n",
        HEAD + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello",
        HEAD + "Content-Type: text\n\nhello",
        HEAD + "Content-Transfer-Encoding: base64\n\n!!!",
        HEAD + "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\nnonsense\n",
        HEAD + "Subject: x\nbroken line\nTo: b@x.example\n\nhello\x00",
        HEAD + "X: " + "y" * 200_000 + "\n\nhello",
        "\ufeff\n" + HEAD + "\nhello",
        (HEAD + "\nhello\n").replace("\n", "\r"),
        (HEAD + "\nhello\n").replace("\n", "\r\r\n"),
        HEAD,
    ],
)
def test_malformed_mails_become_records(mail: Convert, raw: str) -> None:
    assert mail(raw)["_vendor_ids"] == {"message_id": "<1@acme.example>"}


def test_deep_and_wide_structures_end(mail: Convert) -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(3000))
    assert any("nested" in defect for defect in mail(HEAD + deep + "\nend")["data"]["defects"])
    wide = "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 10_000
    assert any("more than" in defect for defect in mail(HEAD + wide)["data"]["defects"])


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=60)
LEAF = st.tuples(st.just("leaf"), TEXT, st.sampled_from(["7bit", "base64", "quoted-printable"]))
TREE = st.recursive(
    LEAF, lambda children: st.tuples(st.just("multi"), st.lists(children, min_size=1, max_size=3)), max_leaves=8
)


def built(tree: Any) -> email.message.Message:
    if tree[0] == "leaf":
        leaf = email.message.Message()
        leaf["Content-Type"] = "text/plain; charset=utf-8"
        leaf.set_payload(tree[1].encode())
        if tree[2] == "base64":
            email.encoders.encode_base64(leaf)
        elif tree[2] == "quoted-printable":
            email.encoders.encode_quopri(leaf)
        return leaf
    multi = email.mime.multipart.MIMEMultipart("mixed")
    for child in tree[1]:
        multi.attach(built(child))
    return multi


@given(TREE, st.sampled_from([b"\n", b"\r\n"]))
@settings(max_examples=150, deadline=None)
def test_structure_is_that_of_the_standard_library_parser(tree: Any, end: bytes) -> None:
    raw = built(tree).as_bytes().replace(b"\n", end)
    parsed = email.message_from_bytes(raw)
    expected = [part.get_payload(decode=True) for part in parsed.walk() if not part.is_multipart()]
    assert [leaf.content() for leaf in leaves(structure_of(raw).root)] == expected


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_a_structure(raw: bytes) -> None:
    for leaf in leaves(structure_of(raw).root):
        leaf.content()
