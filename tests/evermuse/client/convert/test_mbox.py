"""An mbox is split at the lines that start a mail, also where two blocks of the file meet."""

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evermuse.client.convert.mail import mbox
from tests.evermuse.client.convert.running import run

FROM = b"From ann@acme.example Mon Jan  1 10:00:00 2024\n"
MAIL = b"Date: Mon, 1 Jan 2024 10:00:00 +0000\nSubject: one\n\nHello\n"


def split(content: bytes) -> list[bytes]:
    found = [content[span.offset : span.offset + span.length] for span in mbox.spans(io.BytesIO(content))]
    assert b"".join(found) == content.lstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf")
    return found


@pytest.mark.parametrize(
    "line",
    [
        b"From ann@acme.example Mon Jan  1 10:00:00 2024",
        b"From ann at acme.example  Mon Jan  1 10:00:00 2024",
        b"From 1234@xxx Mon Jan 01 10:00:00 +0000 2024",
        b"From - Mon Jan 01 10:00:00 2024",
        b"From ???@??? Mon Jan 01 10:00:00 2024",
        b"From ann@acme.example Mon Jan  1 10:00:00 EST 2024",
        b"From ann@acme.example Mon, 1 Jan 2024 10:00:00 +0100",
        b"From MAILER-DAEMON Mon Jan  1 10:00 2024",
        b"From ",
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_every_writers_from_line_starts_a_mail(line: bytes, end: bytes) -> None:
    one = (line + b"\n" + MAIL + b"\n").replace(b"\n", end)
    assert split(one * 3) == [one] * 3


@pytest.mark.parametrize(
    "text",
    [
        b"From here on it is easy.\nReally: easy.\n",
        b"From Monday on we meet at 10:00.\n\nBye\n",
        b"From 10:00 on Mon Jan 1 2024 we meet,\nand then we eat\n",
        b"From: ann\n",
        b"\nFrom our side: nothing\n",
    ],
)
def test_text_that_begins_with_from_does_not_split_a_mail(text: bytes) -> None:
    one = FROM + MAIL + b"\n" + text + b"\n"
    assert split(one * 2) == [one] * 2


def test_missing_blank_line_before_a_strict_from_line_splits_mails() -> None:
    assert len(split((FROM + MAIL) * 3)) == 3


def test_content_length_keeps_a_quoted_mailbox_inside_its_mail() -> None:
    body = b"See:\n\n" + FROM + MAIL
    counted = FROM + b"Content-Length: %d\n" % len(body) + b"Subject: counted\n\n" + body + b"\n"
    assert split(counted + FROM + MAIL) == [counted, FROM + MAIL]


def test_wrong_content_length_is_ignored() -> None:
    wrong = FROM + b"Content-Length: 3\n" + MAIL + b"\n"
    assert split(wrong + wrong) == [wrong, wrong]


def test_byte_order_mark_and_blank_lines_may_precede_the_first_mail() -> None:
    assert len(split(b"\xef\xbb\xbf" + FROM + MAIL)) == 1
    assert len(split(b"\n\r\n" + FROM + MAIL)) == 1


@given(st.lists(st.integers(0, 3 * mbox.LOOK_AHEAD), min_size=1, max_size=6), st.integers(2 * mbox.LOOK_AHEAD, 10**6))
@settings(max_examples=30, deadline=None)
def test_mails_of_any_size_are_split_at_the_same_places_for_any_block_size(sizes: list[int], block: int) -> None:
    mails = [FROM + MAIL + b"x" * size + b"\n\n" for size in sizes]
    before, mbox.BLOCK_BYTES = mbox.BLOCK_BYTES, block
    try:
        assert split(b"".join(mails)) == mails
    finally:
        mbox.BLOCK_BYTES = before


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from([FROM, MAIL, b"\n", b"\r\n", b"From ", b">From x\n"]), max_size=12),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_covered_by_the_spans(junk: bytes, pieces: list[bytes]) -> None:
    content = FROM + b"".join(pieces) + junk
    assert b"".join(content[s.offset : s.offset + s.length] for s in mbox.spans(io.BytesIO(content))) == content


def test_escaped_from_lines_lose_one_sign_and_the_last_blank_line_is_removed() -> None:
    raw, date = mbox.mail_in(FROM + b"A: b\n\n>From me\n>>From you\n> From\n\n", is_counted=False)
    assert raw == b"A: b\n\nFrom me\n>From you\n> From\n"
    assert date is not None and date.year == 2024


def test_file_that_is_no_mailbox_is_one_reject(tmp_path: Path) -> None:
    file = tmp_path / "photo.mbox"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    assert run("mbox", file, folder=tmp_path).reasons == ["no header: this is not a mail"]
