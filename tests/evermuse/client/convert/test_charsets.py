"""Texts that are not quite in the character set that they declare: with a vendor's additions, truncated, or mixed."""

import encodings.aliases
from base64 import b64encode
from pathlib import Path

import pytest

from evermuse.client.convert import japanese
from evermuse.client.convert.decoding import decoded
from tests.evermuse.client.convert.running import HEAD, Convert, run

# A circled digit, a sign and an ideograph that are in no standard set, and katakana of half width.
ADDED = b'\x1b$B-!-j|b\x1b(B \x1b(I123\x1b(B end\n\x1b$B$"\x1b(J\\\n'
ADDED_TEXT = "①㈱髙 ｱｲｳ end\nあ\\\n"


@pytest.mark.parametrize("declared", ["iso-2022-jp", "ISO-2022-JP-MS", "cp50221", "us-ascii", "utf-8", "x-none", ""])
def test_iso_2022_jp_with_added_characters_is_read_whatever_is_declared(mail: Convert, declared: str) -> None:
    parameter = f"; charset={declared}" if declared else ""
    head = b"Subject: =?iso-2022-jp?B?" + b64encode(ADDED[:9] + b"\x1b(B") + b"?=\n"
    data = mail(HEAD.encode() + head + f"Content-Type: text/plain{parameter}\n\n".encode() + ADDED)["data"]
    assert (data["subject"], data["text"]) == ("①㈱髙", ADDED_TEXT)


def test_added_characters_of_euc_jp_are_read(mail: Convert) -> None:
    head = f"{HEAD}Content-Type: text/plain; charset=euc-jp\n\n".encode()
    assert mail(head + b"\xad\xa1\xa4\xa2 \x8e\xb1 x\n")["data"]["text"] == "①あ ｱ x\n"


def test_every_character_of_jis_is_that_of_the_standard_codecs() -> None:
    different = {}
    for row in range(0x21, 0x7F):
        for cell in range(0x21, 0x7F):
            pair = bytes((row, cell))
            try:
                expected = (b"\x1b$B" + pair + b"\x1b(B").decode("iso2022_jp")
            except UnicodeDecodeError:
                continue
            found = japanese.from_iso_2022_jp(b"\x1b$B" + pair + b"\x1b(B")
            assert japanese.from_euc_jp(bytes(byte | 0x80 for byte in pair)) == found
            if found != expected:
                different[expected] = found
    # The signs that Windows maps to other code points.
    assert different == dict(zip("〜‖−¢£¬", "～∥－￠￡￢", strict=True))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x1b$A0!\x1b(B", "啊"),
        (b"\x1b$(C0!\x1b(B", "가"),
        (b"\x1b$(D0!\x1b(B\x1b$B-!", "丂①"),
        (b'\x1b$B-!\n$"', '①\n$"'),
        (b"\x1b$B-!$", "①$"),
        (b"\x1b$B\x7e\x7e", "\ufffd"),
    ],
)
def test_other_sets_and_broken_pairs_of_iso_2022_jp(raw: bytes, text: str) -> None:
    assert japanese.from_iso_2022_jp(raw).replace("\ufffd\ufffd", "\ufffd") == text


@pytest.mark.parametrize("codec", ["euc_jp", "cp932", "utf-8"])
def test_other_japanese_set_under_the_name_of_iso_2022_jp_is_read(codec: str) -> None:
    assert decoded("日本語の文".encode(codec), "iso-2022-jp") == "日本語の文"


@pytest.mark.parametrize("declared", ["utf-8", "us-ascii", None])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Grüße, schöne".encode() + b"\xff", "Grüße, schöneÿ"),
        ("Grüße 日本".encode()[:-1], "Grüße 日æœ"),
        ("日本語\n".encode() + b"-- \nListe f\xfcr alle\n", "日本語\n-- \nListe für alle\n"),
        (b"f\xfcr Gr\xfc\xdfe", "für Grüße"),
    ],
)
def test_utf_8_with_some_other_bytes_is_not_read_as_windows_1252(declared: str | None, raw: bytes, text: str) -> None:
    assert decoded(raw, declared) == text


def test_utf_7_is_read_although_some_of_it_is_not_encoded() -> None:
    assert decoded(b"Hi +AOQ- 1+1=2 +!", "utf-7") == "Hi ä 1+1=2 +!"


def test_byte_order_mark_of_utf_32_is_not_taken_for_that_of_utf_16() -> None:
    assert decoded("hé".encode("utf-32"), "utf-16") == "hé"


@pytest.mark.parametrize(
    "raw", [b"a+2AA-b", b"+2AA-\xff", b"\xd8\x00\xd8\x00", b"\xed\xa0\x80", b"\xff\xfe\x00\xd8", b"\\ud800"]
)
def test_no_character_set_gives_a_text_that_cannot_be_encoded(raw: bytes) -> None:
    for charset in {*encodings.aliases.aliases.values(), "unicode-1-1-utf-7", "charmap", ""}:
        decoded(raw, charset).encode()


def test_mail_whose_subject_is_half_a_character_does_not_end_the_run(tmp_path: Path) -> None:
    file = tmp_path / "in.mbox"
    subjects = ("=?utf-7?q?+2AA-?=", "Re: =?utf-7?q?+2AA-?=", "sound")
    file.write_text(
        "".join(
            f"From a Mon Jan  1 10:00:00 2024\n{HEAD.replace('<1@', f'<{n}@')}Subject: {one}\n\nx\n\n"
            for n, one in enumerate(subjects)
        )
    )
    assert [one["data"]["subject"] for one in run("mbox", file, folder=tmp_path).records] == [
        "\ufffd",
        "Re: \ufffd",
        "sound",
    ]
