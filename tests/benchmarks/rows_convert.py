"""Row of the converters: a mailbox, beside the standard library's modern parser on one core."""

import base64
import contextlib
import email
import email.policy
import io
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

from evermuse.client.convert import FORMATS, ConvertOptions, RejectWriter
from evermuse.client.convert.mail import mbox
from tests.benchmarks.measure import Row, by_turns, per_second
from tests.benchmarks.stack import BenchStack

MAILS, MAIL_BYTES = 4000, 8000
_LINE = b"The quick brown fox jumps over the lazy dog and runs away from all of them.\n"


def mailbox(path: Path, count: int = MAILS) -> None:
    """Writes a mailbox of mails of 8 kB: plain text, text with HTML, and text with a file, in threads of four."""
    with path.open("wb") as file:
        for number in range(count):
            file.write(_mail(number))


def _mail(number: int) -> bytes:
    references = b"References: <%d@mail.example>\n" % (number - number % 4) if number % 4 else b""
    head = (
        b"From user@acme.example Mon Jan  1 00:00:00 2024\nReceived: from a (a [192.0.2.1])\n\tby b; Mon, 1 Jan 2024 00:00:00 +0000\n"
        b"Message-ID: <%d@mail.example>\nDate: Mon, 1 Jan 2024 %02d:%02d:%02d +0100\nFrom: User <user%d@acme.example>\n"
        b"To: Bob <bob@other.example>, =?utf-8?q?J=C3=BCrgen?= <j@third.example>\nSubject: =?utf-8?q?Gr=C3=B6=C3=9Fe_%d?=\n"
        b"%bMIME-Version: 1.0\n"
    ) % (number, number // 3600 % 24, number // 60 % 60, number % 60, number % 97, number // 4, references)
    rows = MAIL_BYTES // len(_LINE)
    if number % 3 == 0:
        return head + b"Content-Type: text/plain; charset=utf-8\n\n" + _LINE * (rows - 8) + b"\n> quoted\n\n"
    if number % 3 == 1:
        second = b"Content-Type: text/html; charset=utf-8\n\n<p>" + _LINE * (rows // 2 - 6) + b"</p>\n"
    else:
        content = base64.encodebytes(b"%d" % number + _LINE * (rows // 3))
        second = b'Content-Type: application/pdf; name="a.pdf"\nContent-Transfer-Encoding: base64\n\n' + content
    return (
        head + b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\n'
        + _LINE * (rows // 2 - 6) + b"--b\n" + second + b"--b--\n\n"
    )  # fmt: skip


def convert_mbox(stack: BenchStack) -> list[Row]:
    """Converts all mails with both cores; the limit reads subject, date, sender, text and files by the modern parser."""
    path = Path(stack.environment["EVERMUSE_HOME"]) / "bench.mbox"
    path.parent.mkdir(parents=True, exist_ok=True)
    mailbox(path)
    row = Row(
        "convert-mbox", "mails/s", aim=2.0, note=f"{MAILS} mails of {MAIL_BYTES} bytes; limit: email.policy.default"
    )
    return [by_turns(row, ours=lambda: per_second(MAILS, lambda: _convert(path)), limit=lambda: _parse(path))]


def _convert(path: Path) -> None:
    options = ConvertOptions(product_id="prod", project_ids=("proj",))
    with RejectWriter(None) as rejects:
        found = sum(1 for _ in FORMATS["mbox"].convert([path], options=options, rejects=rejects))
    assert (found, rejects.rejected) == (MAILS, 0)


def _parse(path: Path) -> float:
    """The rate of the modern parser over a quarter of the mails."""
    raws = list(_raws(path))[: MAILS // 4]

    def read_all() -> None:
        for raw in raws:
            _read(raw)

    return per_second(len(raws), read_all)


def _raws(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    for span in mbox.spans(io.BytesIO(content)):
        yield mbox.mail_in(content[span.offset : span.offset + span.length], is_counted=False)[0]


def _read(raw: bytes) -> None:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for name in ("subject", "date", "from", "to", "references"):
        str(message[name])
    body = message.get_body(("plain", "html"))
    assert body is not None and body.get_content()
    for attachment in message.iter_attachments():
        with contextlib.suppress(KeyError):
            attachment.get_content()
