"""manage.py migrate: Django's own, without time limits, and repeatable after an interruption."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connection

from evermuse import leftover_indexes, logs, time_limits
from lake.restore import marks

log = logs.get(__name__)


class Command(migrate.Command):
    help = f"{migrate.Command.help} Without time limits. Indexes of an interrupted run are built again. Recognises a restored database."

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["check_unapplied"] and not options["plan"]:
            _connect_directly()
            # The limits of requests and tasks would end a concurrent index build that waits for an old transaction, such as
            # a backup's.
            if not time_limits.lift():
                raise CommandError(
                    "DATABASE_URL leads to a pooler, behind which time limits cannot be lifted: "
                    "set DATABASE_DIRECT_URL to the address of PostgreSQL itself"
                )
            for name in leftover_indexes.drop():
                log.warning("migrate.leftover_index_dropped", index=name)
        super().handle(*args, **options)
        if not options["check_unapplied"] and not options["plan"] and not options["app_label"]:
            # Before web starts: a restored database must not give ids a second time.
            marks.recognise()


def _connect_directly() -> None:
    """Use ``DATABASE_DIRECT_URL`` instead of ``DATABASE_URL`` if it is set."""
    if direct := settings.DATABASE_DIRECT:
        connection.close()
        options = {**connection.settings_dict["OPTIONS"], **direct.get("OPTIONS", {})}
        connection.settings_dict |= {**direct, "OPTIONS": options}
