"""Plain text that mailing lists and gateways write beside the encoded content of a file."""

import binascii
from base64 import encodebytes
from hashlib import sha1
from pathlib import Path

import pytest

from tests.evermuse.client.convert.running import HEAD, Convert

FOOTER = (
    "_______________________________________________\nlist mailing list\nlist@acme.example\nhttps://lists.example/list"
)
CONTENTS = [bytes(range(256)) * 3, bytes(range(256)) * 3 + b"x", b"tiny"]


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("footer", [FOOTER, "--\nUnsubscribe:\nhttps://lists.example/u", "Sent from\r\nmy phone"])
def test_footer_after_base64_is_kept_beside_the_file(
    mail: Convert, tmp_path: Path, content: bytes, footer: str
) -> None:
    head = f"{HEAD}Content-Transfer-Encoding: base64\nContent-Type: image/png\n\n"
    data = mail(f"{head}{encodebytes(content).decode()}\n{footer}\n", attachments=tmp_path)["data"]
    assert data["outside_parts"] == [footer]
    assert data["attachments"][0]["sha1"] == sha1(content).hexdigest()


def test_single_word_after_padding_is_kept(mail: Convert, tmp_path: Path) -> None:
    head = f"{HEAD}Content-Transfer-Encoding: base64\nContent-Type: image/png\n\n"
    data = mail(f"{head}{encodebytes(b'tiny').decode()}Unsubscribe\n", attachments=tmp_path)["data"]
    assert (data["outside_parts"], data["attachments"][0]["size"]) == (["Unsubscribe"], 4)


def test_pieces_of_base64_are_read_to_the_footer(mail: Convert, tmp_path: Path) -> None:
    pieces = "".join(encodebytes(content).decode() for content in CONTENTS[1:] * 2)
    head = f"{HEAD}Content-Transfer-Encoding: base64\nContent-Type: image/png\n\n"
    data = mail(f"{head}{pieces}\n{FOOTER}\n", attachments=tmp_path)["data"]
    assert data["outside_parts"] == [FOOTER]
    assert data["attachments"][0]["sha1"] == sha1(b"".join(CONTENTS[1:] * 2)).hexdigest()


@pytest.mark.parametrize("damage", ["!", ">", " ", "\x00"])
def test_damaged_base64_is_still_decoded_to_its_end(mail: Convert, tmp_path: Path, damage: str) -> None:
    content = bytes(range(256)) * 3
    text = encodebytes(content).decode()
    head = f"{HEAD}Content-Transfer-Encoding: base64\nContent-Type: image/png\n\n"
    data = mail(f"{head}{text[:200]}{damage}{text[200:]}", attachments=tmp_path)["data"]
    assert data["attachments"][0]["sha1"] == sha1(content).hexdigest()
    assert "outside_parts" not in data


def test_texts_before_and_after_uuencode_are_kept(mail: Convert, tmp_path: Path) -> None:
    line = binascii.b2a_uu(b"content").decode()
    head = f"{HEAD}Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: x-uuencode\n\n"
    body = f"See the file.\n\nbegin 644 a.zip\n{line}`\nend\n\n{FOOTER}\n"
    data = mail(f"{head}{body}", attachments=tmp_path)["data"]
    assert data["attachments"][0]["size"] == 7
    assert data["outside_parts"] == [f"See the file.\n\n\n{FOOTER}"]


def test_last_word_after_a_text_in_base64_is_kept(mail: Convert) -> None:
    head = f"{HEAD}Content-Transfer-Encoding: base64\n\n"
    assert mail(f"{head}{encodebytes(b'Hello').decode()}Unsubscribe\n")["data"]["text"] == "Hello\nUnsubscribe"
