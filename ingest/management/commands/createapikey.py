"""manage.py createapikey WORKSPACE [--label L] [--source S] [--permissions …] [--rate-limit N|none]"""

import argparse
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from evermuse import command_line
from ingest.clients import api_keys
from ingest.models import ApiKey, Workspace


def rate_limit(text: str) -> int:
    """Requests per second; ``none`` is 0, no limit."""
    if text == "none":
        return 0
    if not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("a whole number from 1 to 1000000, or none")
    return int(text)


class Command(BaseCommand):
    help = "Create an API key and print it. It is shown only here."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace")
        parser.add_argument("--label", help="a name for people; default key-1, key-2, …")
        parser.add_argument("--source", default="api", help="the source label of its batches")
        parser.add_argument("--permissions", default="api:read,api:write")
        parser.add_argument("--rate-limit", type=rate_limit, help="requests per second, or none")

    def handle(self, *args: Any, **options: Any) -> None:
        workspace = Workspace.objects.filter(name=options["workspace"]).first()
        if workspace is None:
            raise CommandError(f"there is no workspace {options['workspace']!r}: create it with createworkspace")
        label = options["label"] or _free_label(workspace)
        permissions = [name.strip() for name in options["permissions"].split(",") if name.strip()]
        try:
            made = api_keys.create(
                workspace=workspace,
                label=label,
                source=options["source"],
                permissions=permissions,
                rate_limit=options["rate_limit"],
            )
        except ValidationError as error:
            raise CommandError(command_line.by_field(error)) from error
        answer = {
            "workspace": workspace.name,
            "label": label,
            "apiKey": made.secret,
            "permissions": made.api_key.permissions,
        }
        self.stdout.write(json.dumps(answer))


def _free_label(workspace: Workspace) -> str:
    taken = set(ApiKey.objects.filter(workspace=workspace).values_list("label", flat=True))
    return next(label for n in range(1, len(taken) + 2) if (label := f"key-{n}") not in taken)
