"""The columns of the index of records, while a deployment goes over from those of the previous version.

A new database has the compact columns from the start. A database with data gets the new ones beside the old ones, and a row in
`IndexTransition`. While that row exists, records are written as the previous version does, because its processes may still
run. After an hour `complete` renames one old column, drops the others, and removes the row in the same transaction. From then
on a process of the previous version fails with an error instead of reading a row that it does not understand.
"""

from datetime import timedelta

from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from evermuse import logs, prepared
from lake.models import IndexTransition, Record

# Reads no record, but locks the table until the caller's transaction ends, so that its columns do not change. If this waits for
# `complete`, it reads what that has committed.
IS_COMPACT = "SELECT NOT EXISTS (SELECT FROM lake_indextransition), ARRAY(SELECT 1 FROM lake_record LIMIT 0)"
IS_OVER = "SELECT EXISTS (SELECT FROM lake_indextransition WHERE ends_at <= statement_timestamp())"
# Lists and landings wait while this waits for the table.
LOCK = "SET LOCAL lock_timeout = '2s'; LOCK TABLE lake_record IN ACCESS EXCLUSIVE MODE"
# The old column has the last sender of all rows, and the new one of none.
COMPLETE = """
ALTER TABLE lake_record DROP COLUMN resent_by, DROP COLUMN type, DROP COLUMN product_id;
ALTER TABLE lake_record RENAME COLUMN sequence TO resent_by;
ALTER TABLE lake_record ALTER COLUMN resent_by DROP NOT NULL, ALTER COLUMN first_accepted_at DROP NOT NULL
"""
LAST_SENDER = "SELECT sequence FROM lake_record WHERE id = %s"
LOCK_NOT_AVAILABLE = "55P03"
# The pause after an attempt that met a long transaction, such as a backup's, because lists and landings wait for each attempt.
RETRY_AFTER = timedelta(minutes=1)

log = logs.get(__name__)


def is_compact() -> bool:
    """Whether rows have the compact columns. Call it in a transaction: they do not change before it ends.

    Never remembered: a database that is restored or a standby that is promoted may be older.
    """
    return bool(prepared.rows(IS_COMPACT, {})[0][0])


def last_sender(record: Record) -> int:
    """The last batch that sent a record, whether or not it changed anything."""
    with transaction.atomic(), connection.cursor() as cursor:
        if is_compact():
            return record.last_sender
        cursor.execute(LAST_SENDER, [record.id])
        found = cursor.fetchone()
    return int(found[0]) if found else record.last_sender


def complete() -> bool:
    """Drop the old columns, if it is time. Returns whether it did. While the table is in use, it puts that off by RETRY_AFTER."""
    if not _is_over():
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(LOCK)
            # Another process may have been faster.
            if not _is_over():
                return False
            cursor.execute(COMPLETE)
            IndexTransition.objects.all().delete()
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        IndexTransition.objects.update(ends_at=Now() + RETRY_AFTER)
        log.warning("index.in_use", error=str(error)[:200], retry_seconds=RETRY_AFTER.total_seconds())
        return False
    log.info("index.compact")
    return True


def _is_over() -> bool:
    return bool(prepared.rows(IS_OVER, {})[0][0])
