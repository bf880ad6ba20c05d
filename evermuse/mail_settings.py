"""Parses the settings of mail: the server's URL, the sender and the addresses of alerts."""

import re
from email.utils import getaddresses
from typing import NamedTuple
from urllib.parse import unquote

from evermuse.server_urls import Unusable, check_server, urlsplit_of

SENDER = "evermuse@localhost"
_MAIL_ADDRESS = re.compile(r"[^@<>()\s]+@[^@<>()\s]+")


def check_mail_address(text: str) -> None:
    """Raise Unusable unless a text is an e-mail address."""
    if not _MAIL_ADDRESS.fullmatch(text):
        raise Unusable("must be e-mail addresses, separated by commas")


def sender(text: str) -> str:
    """An e-mail address, with a name before it or without: ``Evermuse <ingest@example.com>``. Empty: the default."""
    if not text:
        return SENDER
    found = [address for _, address in getaddresses([text])]
    if any(one in text for one in "\r\n") or len(found) != 1 or not _MAIL_ADDRESS.fullmatch(found[0]):
        raise Unusable("must be an e-mail address, such as ingest@example.com or Evermuse <ingest@example.com>")
    return text


class MailServer(NamedTuple):
    """Django's ``EMAIL_*`` settings."""

    host: str
    port: int
    user: str
    password: str
    starttls: bool
    tls: bool


def mail_server(url: str) -> MailServer:
    """The mail server of an ``smtp://`` URL, or the local one. Raises Unusable."""
    parts = urlsplit_of(url or "smtp://localhost")
    ports = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
    if parts.scheme not in ports:
        raise Unusable("must begin with smtp://, smtp+starttls:// or smtps://")
    check_server(parts)
    return MailServer(
        unquote(parts.hostname or ""),
        parts.port or ports[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.scheme == "smtp+starttls",
        parts.scheme == "smtps",
    )
