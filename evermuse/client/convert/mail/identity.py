"""Identifies a mail and the mails that it replies to."""

import re
from hashlib import sha256

from evermuse.client.convert.mail.headers import Header
from evermuse.client.convert.mail.words import plain

_ANGLED = re.compile(r"<([^<>]{1,998})>")
_BARE = re.compile(r"[^\s<>\"(),;:@]+@[^\s<>\"(),;:@]+")
_BLANKS = re.compile(r"\s+")
_BLANK_BYTES = re.compile(rb"\s+")
# Reply prefixes of common mailers, including "Re[2]:" and "RE :". Tags of mailing lists are kept.
_REPLY = re.compile(
    r"\s*(?:re|aw|antw|sv|vs|odp|ref|rif|res|r|ynt|回复|回覆|答复|答覆)\s*(?:[\[(]\d+[\])])?\s*[:：]\s*", re.IGNORECASE
)
_FORWARD = re.compile(r"\s*(?:fwd?|wg|tr|rv|enc|vb|转发|轉寄)\s*[:：]\s*", re.IGNORECASE)
_STABLE = ("date", "from", "to", "cc", "subject")
_ESCAPED_FROM = re.compile(rb"^>+(?=From )", re.MULTILINE)


def message_id(header: Header) -> str:
    """The Message-ID with its brackets, without blanks; empty if there is none."""
    text = header.text("message-id")
    found = _ANGLED.search(text)
    inner = _BLANKS.sub("", found[1] if found else text.strip("<> "))
    return f"<{inner[:998]}>" if inner else ""


def content_digest(raw: bytes, header: Header) -> str:
    """A digest of the parts that no export changes: the main fields and the body.

    It ignores line ends, blank lines at the end, and mbox escapes.
    """
    digest = sha256()
    for name in _STABLE:
        digest.update(_BLANK_BYTES.sub(b" ", header.raw(name)) + b"\n")
    body = raw[header.body :].replace(b"\r", b"").rstrip(b"\n")
    digest.update(_ESCAPED_FROM.sub(b"", body) if b">From " in body else body)
    return digest.hexdigest()


def ids_in(text: str) -> list[str]:
    """The message ids in References or In-Reply-To, in order, each once."""
    found = [f"<{inner}>" for one in _ANGLED.findall(text) if (inner := _BLANKS.sub("", one))]
    if not found:
        found = [f"<{one}>" for one in _BARE.findall(text)] if len(text) < 2000 else []
    return list(dict.fromkeys(found))


def parent_of(header: Header) -> str:
    """The id of the oldest mail that this one references: the first of References, else In-Reply-To, else empty.

    Old mailers put the sender's address before the id in In-Reply-To. Words that are no ids, such as ``<yes>`` from users of
    git, would join mails that have nothing in common.
    """
    own = message_id(header)
    references = [one for one in ids_in(header.text("references")) if one != own and "@" in one]
    if references:
        return references[0]
    answered = [one for one in ids_in(header.text("in-reply-to")) if one != own and "@" in one]
    return answered[-1] if answered else ""


def subject_of(header: Header) -> str:
    """The subject as text."""
    return _BLANKS.sub(" ", plain(header.text("subject"))).strip()


def bare_subject(subject: str) -> tuple[str, bool]:
    """The subject without reply and forward prefixes, case-folded, and whether it had a reply prefix."""
    text, is_reply = subject[:1000], False
    for _ in range(20):
        if (found := _REPLY.match(text)) is not None:
            is_reply = True
        elif (found := _FORWARD.match(text)) is None:
            break
        text = text[found.end() :]
    return _BLANKS.sub(" ", text).strip().casefold(), is_reply
