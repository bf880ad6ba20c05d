"""manage.py createworkspace NAME [--product P --project Q]…"""

import argparse
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from evermuse import command_line
from ingest.clients import workspaces


class _ProductOption(argparse.Action):
    """Starts a product."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        namespace.products = [*(namespace.products or []), (values, [])]


class _ProjectOption(argparse.Action):
    """Adds a project to the product named before it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if not namespace.products:
            parser.error("--project: name its --product before it")
        namespace.products[-1][1].append(values)


class Command(BaseCommand):
    help = "Create a workspace with products and projects, or add to one. Repeatable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--product", action=_ProductOption, dest="products", metavar="P")
        parser.add_argument(
            "--project", action=_ProjectOption, dest="products", metavar="Q", help="of the --product before it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            workspace = workspaces.ensure(name=options["name"], products=options["products"] or [])
        except ValidationError as error:
            raise CommandError(command_line.by_field(error)) from error
        self.stdout.write(json.dumps(workspaces.describe(workspace)))
