"""manage.py migrate: Django's own, without time limits, and repeatable after an interruption."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connection

from evermuse import leftover_indexes, logs

log = logs.get(__name__)

# The limits of requests and tasks would end a concurrent index build that waits for an old transaction, such as a backup's.
NO_LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")


class Command(migrate.Command):
    help = f"{migrate.Command.help} Without time limits. Indexes of an interrupted run are built again."

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["check_unapplied"] and not options["plan"]:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", [list(NO_LIMITS)]
                )
            for name in leftover_indexes.drop():
                log.warning("migrate.leftover_index_dropped", index=name)
        super().handle(*args, **options)
