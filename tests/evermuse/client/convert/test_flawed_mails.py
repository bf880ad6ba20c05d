"""Flaws of mails in public collections, each in a mail that has only this flaw."""

import binascii
import json
from base64 import b64encode
from pathlib import Path

import pytest

from evermuse.client.convert.mail.message import DATED_BY_OPTION, NO_DATE
from tests.evermuse.client.convert.running import HEAD, Convert, run

RUSSIAN = "Привет, мир"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("koi8-r", "koi8-r"),
        ("windows-1251", "cp1251"),
        ("koi8-r", "utf-8"),
        ("iso-2022-jp", "utf-8"),
        ("x-none", "utf-8"),
    ],
)
def test_unencoded_headers_are_read_in_the_body_charset_unless_they_are_utf_8(
    mail: Convert, declared: str, codec: str
) -> None:
    text = RUSSIAN.encode(codec)
    content_type = f"Content-Type: text/plain; charset={declared}\n".encode()
    record = mail(
        HEAD.encode() + b"To: " + text + b" <m@x.example>\nSubject: " + text + b"\n" + content_type + b"\nx\n"
    )
    assert record["data"]["subject"] == RUSSIAN
    assert record["data"]["to"][-1]["email"] == "m@x.example"
    assert ["Subject", RUSSIAN] in record["data"]["headers"]


def test_unencoded_headers_of_a_multipart_are_read_in_the_charset_of_its_first_text(mail: Convert) -> None:
    head = b"Subject: " + RUSSIAN.encode("koi8-r") + b"\nContent-Type: multipart/mixed; boundary=b\n\n"
    body = b"--b\nContent-Type: text/plain; charset=koi8-r\n\n" + RUSSIAN.encode("koi8-r") + b"\n--b--\n"
    data = mail(HEAD.encode() + head + body)["data"]
    assert (data["subject"], data["text"]) == (RUSSIAN, RUSSIAN)


def test_unencoded_header_in_iso_2022_jp_is_read(mail: Convert) -> None:
    head = b"Subject: " + "日本語".encode("iso-2022-jp") + b"\nContent-Type: text/plain; charset=ISO-2022-JP\n\n"
    assert mail(HEAD.encode() + head + b"x\n")["data"]["subject"] == "日本語"


@pytest.mark.parametrize("charset", ["koi8-r", "windows-1251", "iso-8859-2", "windows-1250", "macintosh"])
def test_utf_8_is_recognized_where_a_set_of_one_alphabet_is_declared(mail: Convert, charset: str) -> None:
    head = f"{HEAD}Content-Type: text/plain; charset={charset}\n\n".encode()
    assert mail(head + RUSSIAN.encode())["data"]["text"] == RUSSIAN
    written = "zażółć".encode("iso-8859-2")
    assert (
        mail(f"{HEAD}Content-Type: text/plain; charset=iso-8859-2\n\n".encode() + written)["data"]["text"] == "zażółć"
    )


def test_bytes_without_a_character_in_windows_1252_are_kept(mail: Convert) -> None:
    raw = f"{HEAD}Content-Type: text/plain; charset=iso-8859-1\n\n".encode() + b"a\x81\x93b\x94"
    assert mail(raw)["data"]["text"] == "a\x81“b”"


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Bob D <bob@x.example> Eve D <eve@x.example>", [("Bob D", "bob@x.example"), ("Eve D", "eve@x.example")]),
        ("Bob <bob@x.example>\n eve@x.example", [("Bob", "bob@x.example"), ("", "eve@x.example")]),
        ("bob@x.example eve@x.example", [("", "bob@x.example"), ("", "eve@x.example")]),
        ('"Bob" <bob@x.example> "Eve" <eve@x.example>', [("Bob", "bob@x.example"), ("Eve", "eve@x.example")]),
        ("bob@x.example>", [("", "bob@x.example")]),
        ("Bob <bob@x.example> Builder", [("Bob Builder", "bob@x.example")]),
        ("bob@x.example <eve@x.example>", [("bob@x.example", "eve@x.example")]),
    ],
)
def test_addresses_without_commas_are_all_found(mail: Convert, text: str, people: list[tuple[str, str]]) -> None:
    found = mail(f"{HEAD}To: {text}\n\nx\n")["data"]["to"]
    assert [(one.get("name", ""), one["email"]) for one in found] == people


def test_line_of_blanks_or_a_boundary_ends_the_header(mail: Convert) -> None:
    head = HEAD + "Content-Type: multipart/mixed; boundary=b\nSubject: \n"
    part = "--b\nContent-Type: text/plain\n\nHello\n--b--\n"
    for between in (" \n", ""):
        data = mail(head + between + part)["data"]
        assert (data.get("subject", ""), data["text"]) == ("", "Hello")


def test_first_text_with_a_file_name_is_shown_and_listed_as_a_file(mail: Convert) -> None:
    head = HEAD + "Content-Type: multipart/mixed; boundary=b\n\n"
    data = mail(f'{head}--b\nContent-Type: text/plain; name="notes.txt"\n\nHello\n--b\n\nMore\n--b--\n')["data"]
    assert data["text"] == "Hello\n\nMore"
    assert [(one["filename"], one["size"], "text" in one) for one in data["attachments"]] == [("notes.txt", 5, False)]


def test_uuencoded_file_is_decoded_although_its_padding_is_not_zero(mail: Convert, tmp_path: Path) -> None:
    content = bytes(range(41))
    line = bytearray(binascii.b2a_uu(content))
    # Writers that do not clear their buffer leave bytes of the line before in the last group.
    line[-2] = ord("I")
    head = (
        HEAD + "Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 a.zip\n"
    )
    record = mail(head.encode() + bytes(line) + b"`\nend\n", attachments=tmp_path)
    assert (tmp_path / record["data"]["attachments"][0]["file"]).read_bytes() == content


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            "Nothing here is encoded at all\nalthough it should be\n",
            "Nothing here is encoded at all\nalthough it should be\n",
        ),
        (b64encode(b"Hello\n").decode() + "\n____\nA list, x@y\n", "Hello\n____\nA list, x@y\n"),
        (b64encode(b"Hello, world\n").decode()[:6] + " " + b64encode(b"Hello, world\n").decode()[6:], "Hello, world\n"),
    ],
)
def test_text_that_is_only_partly_in_base64_is_read(mail: Convert, body: str, text: str) -> None:
    assert mail(f"{HEAD}Content-Transfer-Encoding: base64\n\n{body}")["data"]["text"] == text


@pytest.mark.parametrize("field", ["Resent-Date", "X-Received", "NNTP-Posting-Date", "Delivery-date"])
def test_mail_without_date_takes_that_of_a_server(mail: Convert, field: str) -> None:
    record = mail(f"{field}: by x; Mon, 1 Jan 2024 12:00:00 +0100\nFrom: a@b.example\n\nx\n")
    assert (record["_event_at"], record["data"]["date_source"]) == ("2024-01-01T11:00:00Z", field)


def test_mails_without_any_date_are_rejected_or_get_the_given_time(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text("From: a@b.example\n\nx\n")
    (tmp_path / "b.eml").write_text(HEAD + "\nx\n")
    rejected = run("eml", tmp_path / "a.eml", tmp_path / "b.eml", folder=tmp_path)
    assert (rejected.reasons, rejected.writer.converted) == ([NO_DATE], 1)
    given = run("eml", tmp_path / "a.eml", tmp_path / "b.eml", folder=tmp_path, event_at="2020-02-02T02:02:02Z")
    assert [one["_event_at"] for one in given.records] == ["2020-02-02T02:02:02Z", "2024-01-01T09:00:00Z"]
    assert given.records[0]["data"]["date_source"] == "option"
    assert given.writer.notes == {DATED_BY_OPTION: 1}


def test_thunderbird_mails_without_a_blank_line_between_them_are_split(tmp_path: Path) -> None:
    mails = "".join(f"From - \n{HEAD.replace('<1@', f'<{n}@')}\nHello {n}\n" for n in range(3))
    (tmp_path / "box").write_text(mails + "From - here on\nnothing splits.\nFrom -\nhere: neither\nnor here\n")
    texts = [one["data"]["text"] for one in run("mbox", tmp_path / "box", folder=tmp_path).records]
    assert texts[:2] == ["Hello 0\n", "Hello 1\n"]
    assert texts[2].startswith("Hello 2\nFrom - here on\n")
    assert json.dumps(texts).count("neither") == 1


def test_words_in_references_that_are_no_ids_join_no_thread(tmp_path: Path) -> None:
    for number, references in enumerate(("<yes>", "<yes>", "<yes> <root@acme.example>")):
        head = HEAD.replace("<1@", f"<{number}@").replace(
            "Date:", f"Subject: s{number}\nReferences: {references}\nDate:"
        )
        (tmp_path / f"{number}.eml").write_text(f"{head}\nx\n")
    done = run("eml", *sorted(tmp_path.glob("*.eml")), folder=tmp_path)
    threads = [one["_thread_id"] for one in done.records]
    assert len(set(threads)) == 3
    assert "root@acme.example" in threads[2]


@pytest.mark.parametrize(
    ("date", "instant"),
    [
        ("Tue, 2 Jan 2024 10:00:00 CET", "2024-01-02T09:00:00"),
        ("Tue, 2 Jan 2024 10:00:00 JST (Tokyo)", "2024-01-02T01:00:00"),
        ("Tue Jan 2 10:00:00 MSK 2024", "2024-01-02T07:00:00"),
        ("Tue, 2 Jan 2024 10:00:00 EST", "2024-01-02T15:00:00"),
        ("Tue, 2 Jan 2024 10:00:00 XYZ", "2024-01-02T10:00:00"),
        ("Tue, 2 Jan 2024 10:00:00 +0000 (CET)", "2024-01-02T10:00:00"),
    ],
)
def test_names_of_time_zones_are_read(mail: Convert, date: str, instant: str) -> None:
    head = HEAD.partition("\n")[2]
    assert mail(f"Date: {date}\n{head}\nx\n".encode())["_event_at"].startswith(instant)


@pytest.mark.parametrize("format", ["eml", "maildir"])
def test_file_that_begins_with_a_from_line_is_read_as_a_mailbox(tmp_path: Path, format: str) -> None:
    one, two = (
        f"From ann@acme.example Mon Jan  1 10:00:00 2024\n{HEAD.replace('<1@', f'<{n}@')}\nbody {n}\n" for n in "12"
    )
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "one").write_text(one.replace("<1@", "<0@"))
    (folder / "two").write_text(f"{one}\n{two}")
    done = run(format, folder, folder=tmp_path)
    assert [one["data"]["text"].strip() for one in done.records] == ["body 1", "body 1", "body 2"]


@pytest.mark.parametrize(
    ("date", "instant"),
    [
        ("Mon, 05 Jan 2026 10:00:00 GMT+2", "2026-01-05T08:00:00Z"),
        ("Mon, 05 Jan 2026 10:00:00 UTC-0830", "2026-01-05T18:30:00Z"),
        ("Mon Jan 05 2026 10:00:00 GMT-0800 (Pacific Standard Time)", "2026-01-05T18:00:00Z"),
        ("Mon, 5 Jan 2026 10:00:00 +01:00", "2026-01-05T09:00:00Z"),
        ("Mon, 5 Jan 2026 10:00:00 +1", "2026-01-05T09:00:00Z"),
        ("Mon, 5 Jan 2026 10:00:00 +0100;x", "2026-01-05T09:00:00Z"),
        ("Mon, 5 Jan 2026 10:00:00 (CET)", "2026-01-05T09:00:00Z"),
        ("Mon, 5 Jan 2026 10:00:00.123 +0100", "2026-01-05T09:00:00Z"),
        ("Monday, January 5, 2026 10:00 PM", "2026-01-05T22:00:00Z"),
        ("Mon, 5 Jan 2026 12:30:00 AM +0100", "2026-01-04T23:30:00Z"),
        ("Mon, 5 Jan 126 10:00:00 +0100", "2026-01-05T09:00:00Z"),
    ],
)
def test_offsets_halves_of_the_day_and_years_in_other_forms_are_read(mail: Convert, date: str, instant: str) -> None:
    record = mail(f"From: a@x.example\nMessage-ID: <d@x.example>\nDate: {date}\n\nx\n".encode())
    assert (record["_event_at"], record["data"]["date_source"]) == (instant, "Date")


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("John Doe [mailto:john@x.example], B <b@x.example>", [("John Doe", "john@x.example"), ("B", "b@x.example")]),
        ("<<john@x.example>>", [("", "john@x.example")]),
        ("=?utf-8?q?J=C3=B6rg_=3Cj=40x=2Eexample=3E?=", [("Jörg", "j@x.example")]),
        ("=?utf-8?q?j=40x=2Eexample?=", [("", "j@x.example")]),
        ("user@[192.168.1.1]", [("", "user@[192.168.1.1]")]),
    ],
)
def test_addresses_in_odd_brackets_or_encoded_as_a_whole_are_found(
    mail: Convert, text: str, people: list[tuple[str, str]]
) -> None:
    found = mail(f"{HEAD}To: {text}\n\nx\n".encode())["data"]["to"]
    assert [(one.get("name", ""), one["email"]) for one in found] == people


def test_texts_outside_the_parts_of_a_multipart_are_kept(mail: Convert) -> None:
    inner = "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntext\n--c--\nFooter of the list\n--b--\n \n"
    data = mail(f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\nHi, I cannot do MIME\n{inner}".encode())["data"]
    assert (data["text"], data["outside_parts"]) == ("text", ["Hi, I cannot do MIME", "Footer of the list"])


@pytest.mark.parametrize("separator", ["\n", "", "\r\n"])
def test_base64_in_pieces_with_padding_of_their_own_is_read_to_its_end(
    mail: Convert, tmp_path: Path, separator: str
) -> None:
    pieces = [b"one ", b"two", b" three, a line of some more words", b"!"]
    body = separator.join(b64encode(piece).decode() for piece in pieces)
    head = f"{HEAD}Content-Transfer-Encoding: base64\n"
    assert mail(f"{head}\n{body}\n")["data"]["text"] == "one two three, a line of some more words!"
    (entry,) = mail(f"{head}Content-Type: image/png\n\n{body}\n", attachments=tmp_path / "files")["_attachments"]
    assert (tmp_path / "files" / entry["filename"]).read_bytes() == b"".join(pieces)


def test_footer_after_the_base64_of_a_file_does_not_become_part_of_it(mail: Convert, tmp_path: Path) -> None:
    body = f"{b64encode(b'file').decode()}\n_______\nThe list\nCiao\n"
    head = f"{HEAD}Content-Transfer-Encoding: base64\nContent-Type: image/png\n"
    (entry,) = mail(f"{head}\n{body}", attachments=tmp_path / "files")["_attachments"]
    assert (tmp_path / "files" / entry["filename"]).read_bytes() == b"file"
