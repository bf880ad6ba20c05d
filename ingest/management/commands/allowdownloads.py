"""manage.py allowdownloads: let downloads reach one address and port of a private network while this command runs."""

import ipaddress
import json
import os
import select
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from attachments.fetch import allowed_endpoints

RENEW_SECONDS = 5.0


class Command(BaseCommand):
    help = "Let downloads reach ADDRESS:PORT, although it is not public, until standard input ends or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("endpoint", metavar="ADDRESS:PORT", help="such as 127.0.0.1:9999 or [::1]:9999")

    def handle(self, *args: Any, **options: Any) -> None:
        address, port = _endpoint(options["endpoint"])
        with allowed_endpoints.allowed(address=address, port=port):
            self.stdout.write(json.dumps({"address": address, "port": port}))
            self.stdout.flush()
            try:
                while not _has_ended():
                    allowed_endpoints.allow(address=address, port=port)
            except KeyboardInterrupt:
                pass


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise CommandError(f"ADDRESS:PORT must begin with an IP address, not {host!r}") from None
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise CommandError(f"ADDRESS:PORT must end with a port from 1 to 65535, not {port!r}")
    return str(address), int(port)


def _has_ended() -> bool:
    """Wait for the next renewal. Returns whether standard input has ended."""
    readable, _, _ = select.select([sys.stdin], [], [], RENEW_SECONDS)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1024)
