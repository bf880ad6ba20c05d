"""Marks in the bucket say how far the database was, so that a database that was set back is recognised.

Whenever something happened, the task that writes the journal counts a tick in the database, and writes the tick and the last ids to
the bucket. A tick in the bucket that the database does not know means that the database was restored from an earlier time. From then
on until ``manage.py restorecheck`` has run, nothing in the bucket is deleted, merged or written over: rows of the restored database
may name objects as unfinished or alive that have changed since.

Each database has its own marks, so that a new database in an old bucket is not taken for a restored one. A mark is deleted
once there is a later one. No object is overwritten.
"""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from django.db import transaction
from django.utils import timezone

from evermuse import logs
from evermuse.errors import StoreUnavailable
from lake import object_store
from lake.models import RestoreMark
from lake.restore import listing, promotion, sequences

log = logs.get(__name__)

PREFIX = "restore/"
MAX_BYTES = 1024 * 1024
# Another worker may replace a mark between the list and the read.
ATTEMPTS = 3
MOST_LEAPS = 100
# A process relies on its last look at the bucket for this long.
LOOK_SECONDS = 5.0


class Mark(msgspec.Struct, frozen=True):
    """What a mark in the bucket says. ``drawn``: the last value of each sequence. ``leaps``: ranges that each has skipped."""

    database: str
    tick: int
    at: datetime
    drawn: dict[str, int]
    leaps: dict[str, list[tuple[int, int]]] = {}


@dataclass(slots=True)
class _Looked:
    """When this process last saw that the database is not set back (of `time.monotonic`)."""

    at: float = float("-inf")


_looked = _Looked()


def row() -> RestoreMark:
    """The database's own row. A database without one, such as an emptied one, gets a new identity."""
    new = {"database": uuid4(), "tick": 0, "noted_at": timezone.now(), "drawn": {}}
    return RestoreMark.objects.get_or_create(pk=1, defaults=new)[0]


def lock_row() -> RestoreMark:
    """The same row, locked until the caller's transaction ends."""
    row()
    return RestoreMark.objects.select_for_update().get(pk=1)


def _prefix(database: object) -> str:
    return f"{PREFIX}database={database}/"


def latest(database: object) -> Mark | None:
    """The last mark of a database. None if there is none. Raises StoreUnavailable."""
    for _ in range(ATTEMPTS):
        keys = sorted(one.key for one in listing.objects(_prefix(database)))
        if not keys:
            return None
        content = object_store.get(keys[-1], max_bytes=MAX_BYTES)
        if content is not None:
            return msgspec.json.decode(content, type=Mark)
    raise StoreUnavailable("it does not return a mark that it lists")


def every() -> list[Mark]:
    """The last mark of each database that has used the bucket. Raises StoreUnavailable."""
    databases = {one.key.split("/")[1].removeprefix("database=") for one in listing.objects(PREFIX)}
    return [mark for database in sorted(databases) if (mark := latest(database)) is not None]


def note() -> None:
    """Write a mark if anything happened since the last one. Raises StoreUnavailable."""
    drawn = sequences.drawn()
    if drawn != row().drawn and not promotion.is_recent() and not is_set_back():
        write(drawn)


def write(drawn: dict[str, int], *, above: int = 0) -> None:
    """Write a mark. ``above``: a tick that it must exceed. Raises StoreUnavailable."""
    with transaction.atomic():
        ours = lock_row()
        ours.tick, ours.noted_at = max(ours.tick, above) + 1, timezone.now()
        ours.save(update_fields=["tick", "noted_at"])
    earlier = [one.key for one in listing.objects(_prefix(ours.database))]
    mark = Mark(str(ours.database), ours.tick, datetime.now(UTC), drawn, ours.leaps)
    key = f"{_prefix(ours.database)}mark-{ours.tick:019d}-{secrets.token_hex(8)}.json"
    object_store.put(key, msgspec.json.encode(mark), "application/json")
    object_store.remove([one for one in earlier if one < key])
    # After the object: if it could not be written, the next round writes it.
    RestoreMark.objects.filter(pk=1).update(drawn=drawn)


def is_set_back() -> bool:
    """Whether the database was restored from an earlier time, and ``restorecheck`` has not run since.

    Moves the sequences as soon as that is known. Raises StoreUnavailable while the store is away, because then it is unknown.
    """
    ours = row()
    if ours.set_back_at is not None:
        return True
    leap = promotion.unchecked()
    if leap is None and time.monotonic() < _looked.at + LOOK_SECONDS:
        return False
    mark = latest(ours.database)
    if mark is not None and mark.tick > ours.tick and _note_set_back(mark):
        return True
    if leap is not None:
        if promotion.is_journal_ahead():
            return _note_set_back(mark or Mark(str(ours.database), ours.tick, datetime.now(UTC), {}), is_sure=True)
        if not promotion.is_recent():
            _note_leap(leap)
    _looked.at = time.monotonic()
    return False


def is_check_needed() -> bool:
    """Whether the database is known to be set back. Asks only the database, which the workers keep up to date."""
    return RestoreMark.objects.exclude(set_back_at=None).exists()


def is_behind() -> bool:
    """Like `is_set_back`, and changes nothing."""
    ours = row()
    mark = latest(ours.database)
    return ours.set_back_at is not None or (mark is not None and mark.tick > ours.tick)


def found(ours: RestoreMark) -> Mark | None:
    """The bucket's mark that was ahead of this database. None if it was not set back. Raises StoreUnavailable."""
    if ours.set_back_at is not None:
        return msgspec.convert(ours.found, Mark)
    mark = latest(ours.database)
    return mark if mark is not None and mark.tick > ours.tick else None


def settle(missing: list[dict[str, int]]) -> None:
    """The database was checked: keep what is missing, and let tasks change the bucket again. Raises StoreUnavailable."""
    ours = row()
    ahead = found(ours)
    write(sequences.drawn(), above=ahead.tick if ahead else 0)
    RestoreMark.objects.filter(pk=1).update(set_back_at=None, found={}, missing=missing)
    _looked.at = float("-inf")


def recognise() -> None:
    """Look whether the database was set back, at the start of a deployment. While the store is away, the workers look later."""
    try:
        if is_set_back():
            log.error("restore.check_needed", command="manage.py restorecheck")
    except StoreUnavailable as error:
        log.warning("mark.store_away", error=str(error)[:200])


def may_change_bucket() -> bool:
    """Whether tasks may delete, merge and write objects that rows name. False while that is unknown."""
    try:
        if promotion.is_recent():
            return False
        if not is_set_back():
            return True
        log.error("restore.check_needed", command="manage.py restorecheck")
    except StoreUnavailable as error:
        log.warning("bucket.store_away", error=str(error)[:200])
    return False


def _note_set_back(mark: Mark, *, is_sure: bool = False) -> bool:
    """Keep what the mark says, and move the sequences. False if the row has caught up meanwhile, unless ``is_sure``."""
    with transaction.atomic():
        ours = lock_row()
        if ours.tick >= mark.tick and ours.set_back_at is None and not is_sure:
            return False
        if ours.set_back_at is None:
            ours.set_back_at, ours.found = timezone.now(), msgspec.to_builtins(mark)
            ours.leaps = {**mark.leaps, **{name: mark.leaps.get(name, []) + of for name, of in ours.leaps.items()}}
            ours.save(update_fields=["set_back_at", "found", "leaps"])
            move_sequences(ours, mark.drawn)
            if leap := promotion.unchecked():
                # The first leap came before anything was written. Missing ids are looked for from there on.
                ours.before = {**ours.before, **leap.before}
                ours.save(update_fields=["before"])
                promotion.settle()
    log.error("restore.found", tick=ours.tick, tick_of_bucket=mark.tick)
    return True


def _note_leap(leap: promotion.Leap) -> None:
    """Record the ids that the leap of a promotion has skipped, so that they are not reported as missing."""
    with transaction.atomic():
        ours = lock_row()
        ours.leaps = dict(ours.leaps)
        for name, moved in leap.moved.items():
            skipped = (leap.before.get(name, 0) + 1, moved)
            ours.leaps[name] = [*ours.leaps.get(name, []), skipped][-MOST_LEAPS:]
        ours.save(update_fields=["leaps"])
        promotion.settle()


def planned(ours: RestoreMark, known: dict[str, int]) -> dict[str, int]:
    """Where sequences have to leap to. One that was not used since its last leap stays."""
    now = sequences.drawn()
    to = sequences.leap(now, known, since=ours.noted_at, until=timezone.now())
    return {
        name: value for name, value in to.items() if now[name] != ours.moved.get(name) or known.get(name, 0) > now[name]
    }


def move_sequences(ours: RestoreMark, known: dict[str, int]) -> None:
    """Let the sequences leap in the caller's transaction, which has locked the row."""
    now, moved = sequences.drawn(), planned(ours, known)
    if not moved:
        return
    sequences.move(moved)
    ours.before, ours.moved = {**ours.before, **{name: now[name] for name in moved}}, {**ours.moved, **moved}
    leaps = dict(ours.leaps)
    for name in moved:
        # PostgreSQL logs a sequence 32 values ahead. After a restore its value is no proof that these were drawn.
        skipped = (known.get(name, now[name]) + 1, moved[name])
        leaps[name] = [*leaps.get(name, []), skipped][-MOST_LEAPS:]
    ours.leaps = leaps
    ours.save(update_fields=["before", "moved", "leaps"])
