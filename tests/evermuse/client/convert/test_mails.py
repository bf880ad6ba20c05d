"""One mail: its headers, text, people, date, quotations and attachments."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from evermuse.client.convert.mail.html_text import text_of
from tests.evermuse.client.convert.running import HEAD, Convert, run


def test_mail_becomes_a_record_with_ids_time_and_people(mail: Convert) -> None:
    record = mail(
        HEAD + "To: bob@x.example, (c) Carl <carl@sub.acme.example>\nSubject: Hi\n\nHello\n",
        internal_domains=("acme.example",),
    )
    assert record["_event_at"] == "2024-01-01T09:00:00Z"
    assert record["_vendor_ids"] == {"message_id": "<1@acme.example>"}
    assert record["_thread_id"] == "<1@acme.example>"
    assert {(one["email"], one["role"]) for one in record["_participants"]} == {
        ("ann@acme.example", "internal"), ("bob@x.example", "external"), ("carl@sub.acme.example", "internal"),
    }  # fmt: skip
    assert (record["data"]["subject"], record["data"]["text"]) == ("Hi", "Hello\n")


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("=?utf-8?q?J=C3=BCrgen?=", "Jürgen"),
        ("=?utf-8?q?J=C3?=\n =?utf-8?q?=BCrgen?=", "Jürgen"),
        ("=?utf-8?B?SsO8cm\n dlbg==?= x", "Jürgen x"),
        ("=?iso-8859-1?q?J=FCrgen?= und =?x-unknown?q?Ann?=", "Jürgen und Ann"),
        ("=?utf-8?q?what?? ja?=", "what?? ja"),
        ("=?utf-8?q?broken", "=?utf-8?q?broken"),
        ("=?idna?q?abc?=", "abc"),
        ("=?utf-8?B?SsO8cmdlbg?=", "Jürgen"),
    ],
)
def test_encoded_words_are_decoded_also_when_they_are_broken(mail: Convert, header: str, subject: str) -> None:
    assert mail(f"{HEAD}Subject: {header}\n\nx\n")["data"]["subject"] == subject


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("utf-8", "Größe".encode()),
        ("utf-8", "Größe".encode("latin-1")),
        ("iso-8859-1", "Größe".encode()),
        ("us-ascii", "Größe".encode()),
        ("us-ascii", "Größe".encode("cp1252")),
        ("x-unknown", "Größe".encode()),
        ("", "Größe".encode("cp1252")),
        ('"utf-8', "Größe".encode()),
        ("unicode-1-1-utf-7", b"Gr+APYA3w-e"),
    ],
)
def test_text_is_decoded_when_its_charset_is_missing_unknown_or_wrong(mail: Convert, charset: str, raw: bytes) -> None:
    head = f"{HEAD}Content-Type: text/plain; charset={charset}\n\n".encode()
    assert mail(head + raw)["data"]["text"] == "Größe"


@pytest.mark.parametrize(
    "address",
    [
        "no-at-sign",
        "a b@x.example@y",
        "ann@",
        "@x",
        "<>",
        "undisclosed-recipients:;",
        '"unclosed <a@b.example>',
        "(" * 2000,
        '\\"' * 5000,
    ],
)
def test_record_is_kept_without_an_address_that_the_contract_refuses(mail: Convert, address: str) -> None:
    record = mail(f"{HEAD}To: {address}, bob@x.example\n\nx\n")
    assert record["data"]["text"] == "x\n"


def test_obscured_and_old_style_addresses_are_understood(mail: Convert) -> None:
    record = mail(
        "Date: 1 Jan 2024 10:00 GMT\nFrom: guido at python.example (Guido van R)\nTo: b@x.example (Bob)\n\nx\n"
    )
    assert [(one["name"], one["email"]) for one in record["_participants"]] == [
        ("Guido van R", "guido@python.example"), ("Bob", "b@x.example"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "at", "source"),
    [
        ("Date: garbage\nReceived: by x; Mon, 1 Jan 2024 12:00:00 +0000\n", "2024-01-01T12:00:00Z", "Received"),
        (
            "Date: Fri, 31 Feb 2024 12:00:00 +0000\nReceived: by x; 2 Jan 2024 00:00:00 GMT\n",
            "2024-01-02T00:00:00Z",
            "Received",
        ),
        ("Date: Mon, 1 Jan 1904 00:00:00 +0000\n", "1904-01-01T00:00:00Z", "Date"),
        ("Date: 2024-01-01 10:00:00 +0100\n", "2024-01-01T09:00:00Z", "Date"),
        ("Date: Mon, 1 Jan 2024 23:59:60 -9999\n", "2024-01-01T23:59:59Z", "Date"),
    ],
)
def test_broken_dates_fall_back_to_the_servers(mail: Convert, headers: str, at: str, source: str) -> None:
    record = mail(f"{headers}From: a@b.example\n\nx\n")
    assert (record["_event_at"], record["data"]["date_source"]) == (at, source)


def test_mail_without_any_date_takes_that_of_its_from_line_or_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "in.mbox"
    file.write_bytes(b"From a Mon Jan  1 10:00:00 2024\nSubject: a\n\nx\n\nFrom \nSubject: b\n\nx\n")
    done = run("mbox", file, folder=tmp_path)
    assert [one["_event_at"] for one in done.records] == ["2024-01-01T10:00:00Z"]
    assert done.rejects[0]["offset"] == 47 and "no date" in done.reasons[0]


def test_attachments_are_written_under_safe_names_and_named_in_the_record(mail: Convert, tmp_path: Path) -> None:
    names = ["../../etc/passwd", "CON.txt", "a/b\\c:d?.pdf", "", "ä" * 300 + ".pdf", "a.pdf", "a.pdf", "\u202ecod.exe"]
    letter = EmailMessage()
    letter["Date"], letter["From"] = "Mon, 1 Jan 2024 10:00:00 +0000", "a@b.example"
    letter.set_content("hello")
    for number, name in enumerate(names):
        letter.add_attachment(b"%d" % number, maintype="application", subtype="pdf", filename=name or None)
    target = tmp_path / "files"
    record = mail(letter.as_bytes(), attachments=target)
    entries = record["_attachments"]
    assert sorted(entry["filename"] for entry in entries) == sorted(file.name for file in target.iterdir())
    assert [(target / entry["filename"]).read_bytes() for entry in entries] == [b"%d" % i for i in range(len(names))]
    assert not any(
        set(entry["filename"]) & set('/\\:*?"<>|\u202e') or entry["filename"].startswith(("con.", "CON.", "."))
        for entry in entries
    )
    assert [one.get("filename", "") for one in record["data"]["attachments"]][1] == "CON.txt"


def test_more_than_ten_attachments_are_all_written_and_counted(tmp_path: Path) -> None:
    letter = EmailMessage()
    letter["Date"] = "Mon, 1 Jan 2024 10:00:00 +0000"
    letter.set_content("hello")
    for number in range(13):
        letter.add_attachment(b"%d" % number, maintype="image", subtype="png", filename=f"{number}.png")
    file = tmp_path / "m.eml"
    file.write_bytes(letter.as_bytes())
    done = run("eml", file, folder=tmp_path, attachments=tmp_path / "files")
    assert len(done.records[0]["_attachments"]) == 10
    assert len(done.records[0]["data"]["attachments"]) == len(list((tmp_path / "files").iterdir())) == 13
    assert sum(done.writer.notes.values()) == 3


def test_html_alone_gives_readable_text_and_keeps_the_html(mail: Convert) -> None:
    markup = "<html><style>p {}</style><p>Hello&nbsp;<b>you</b></p><script>x()</script><div>bye</div></html>"
    data = mail(f"{HEAD}Content-Type: text/html\n\n{markup}")["data"]
    assert (data["text"].split(), data["html"], data["text_from"]) == (["Hello", "you", "bye"], markup, "html")


def test_mails_inside_of_mails_are_read_and_kept_as_files(mail: Convert, tmp_path: Path) -> None:
    inner = "From: x@y.example\nSubject: inner\n\nwithin\n"
    raw = f"{HEAD}Content-Type: multipart/mixed; boundary=b\n\n--b\n\nouter\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    record = mail(raw, attachments=tmp_path / "files")
    assert record["data"]["messages"][0]["subject"] == "inner"
    assert record["data"]["messages"][0]["text"] == "within\n"
    assert (tmp_path / "files" / record["_attachments"][0]["filename"]).read_text() == inner


def test_quotations_are_kept_and_marked(mail: Convert) -> None:
    text = "Yes.\n\nOn Mon, Bob wrote:\n> really?\n>\n> sure\n\nAnn\n-- \nAnn A.\n"
    data = mail(f"{HEAD}\n{text}")["data"]
    assert data["text"] == text
    kinds = [(one["kind"], text[one["start"] : one["end"]]) for one in data["quotes"]]
    assert kinds == [("quote", "On Mon, Bob wrote:\n> really?\n>\n> sure\n"), ("signature", "-- \nAnn A.\n")]


def test_record_that_is_too_large_is_rejected_with_its_size(tmp_path: Path) -> None:
    file = tmp_path / "big.eml"
    file.write_text(HEAD + "\n" + "x" * 5_300_000)
    assert "bytes; a batch holds at most" in run("eml", file, folder=tmp_path).reasons[0]


@pytest.mark.parametrize("piece", ["<br", "<!--", "<script>", "<head ", "<", "</script ", "<![CDATA[", "&amp"])
def test_html_text_of_repeated_fragments_is_found_in_linear_time(piece: str) -> None:
    # Quadratic time would take minutes for this size.
    text_of(piece * 200_000)


@pytest.mark.parametrize("charset", ["base64", "rot13", "zlib", "hex", "bz2", "quopri", "uu"])
def test_codec_that_is_no_character_set_is_unknown_in_headers_and_bodies(mail: Convert, charset: str) -> None:
    subject = f"=?{charset}?q?caf=C3=A9?="
    raw = f"{HEAD}Subject: {subject}\nContent-Type: text/plain; charset={charset}\n\ncafé\n"
    data = mail(raw)["data"]
    assert (data["subject"], data["text"]) == ("café", "café\n")
