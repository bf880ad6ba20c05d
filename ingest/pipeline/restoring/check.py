"""The check after a restore of the database: `manage.py restorecheck`.

    sequences leap ▸ removals are repeated ▸ batches point to where compaction moved their lines ▸ missing batches land again ▸
    journals continue after the last event in the bucket ▸ the report lists what is missing

Every step is one or more transactions and can be repeated. Nothing that is found in the bucket is deleted.
"""

from dataclasses import dataclass, field

from django.db import transaction

from attachments import removal as files
from attachments import restored_files
from evermuse import logs
from ingest.admission import room
from ingest.models import Workspace
from ingest.pipeline.restoring import again, bucket, gaps
from ingest.pipeline.restoring.again import LandedAgain
from ingest.pipeline.restoring.bucket import Bucket
from ingest.pipeline.restoring.gaps import IdRange, Last
from lake import removal
from lake.models import RemovedRecord, RestoreMark
from lake.removal import LandingOpen
from lake.restore import adopting, marks, sequences
from lake.restore.marks import Mark
from lake.restore.unknown_segments import Unit

log = logs.get(__name__)

BATCHES = "ingest_batch_id_seq"
REMOVED_AT_ONCE = 500


@dataclass(slots=True)
class Outcome:
    """What the check found and did. ``known_to``: the greatest batch id that is known to have been given."""

    is_dry: bool
    was_set_back: bool
    last: Last
    known_to: int
    mark: Mark | None
    looked: Bucket
    moved: dict[str, tuple[int, int]] = field(default_factory=dict)
    landed: LandedAgain = field(default_factory=lambda: LandedAgain([]))
    pointed: int = 0
    removed: int = 0
    removals_waiting: int = 0
    workspaces_made: list[str] = field(default_factory=list)
    missing: list[IdRange] = field(default_factory=list)
    missing_lines: list[int] = field(default_factory=list)
    unknown_files: list[str] = field(default_factory=list)
    missing_files: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is known to be missing."""
        looked = self.looked
        gaps_of_journals = any(one.gaps for one in looked.histories.values())
        return not (
            self.missing or self.missing_lines or self.missing_files or looked.unreadable or looked.nameless
            or gaps_of_journals or self.removals_waiting
        )  # fmt: skip


def check(*, is_dry: bool) -> Outcome:
    """Run the check. Raises StoreUnavailable; then nothing is lost, and it can be repeated."""
    was_set_back = marks.is_set_back() if not is_dry else marks.is_behind()
    every = marks.every()
    looked = bucket.look()
    units = looked.best_units()
    unknown = bucket.unknown_batches(units)
    row = marks.row()
    # After a restore, the sequence's value may be slightly greater than the last id.
    before = row.before if row.set_back_at else sequences.drawn()
    last = gaps.last_batch(before.get(BATCHES, 0))
    found = [unit.part.number for unit in unknown]
    known_to = max([last.batch_id, *found, *_told(looked), *(one.drawn.get(BATCHES, 0) for one in _of(row, every))])
    outcome = Outcome(is_dry, was_set_back, last, known_to, marks.found(row), looked)
    _move_sequences(outcome, every)
    if not is_dry:
        _mend(outcome, units, unknown)
    else:
        outcome.landed = LandedAgain(sorted(found), sum(unit.span.lines for unit in unknown))
    _look_for_gaps(outcome, row, found)
    _look_for_files(outcome)
    if not is_dry:
        _finish(outcome)
    return outcome


def _of(row: RestoreMark, every: list[Mark]) -> list[Mark]:
    """The marks that show lost ids: those of other databases, and the one that was ahead of this database."""
    found = marks.found(row)
    return [one for one in every if one.database != str(row.database)] + ([found] if found else [])


def _told(looked: Bucket) -> list[int]:
    return [number for one in looked.histories.values() for number in (*one.landed, *one.given_up)]


def _move_sequences(outcome: Outcome, every: list[Mark]) -> None:
    """Move the sequences. They have leapt already if the database was found to be set back."""
    known: dict[str, int] = {BATCHES: outcome.known_to}
    for one in every:
        for name, value in one.drawn.items():
            known[name] = max(known.get(name, 0), value)
    with transaction.atomic():
        row = marks.lock_row()
        before, moved = sequences.drawn(), marks.planned(row, known)
        if row.set_back_at is not None:
            before, moved = row.before, row.moved
        elif not outcome.is_dry:
            marks.move_sequences(row, known)
    outcome.moved = {name: (before.get(name, 0), value) for name, value in moved.items()}
    if not outcome.is_dry:
        room.make_ahead()


def _mend(outcome: Outcome, units: dict[int, Unit], unknown: list[Unit]) -> None:
    looked = outcome.looked
    made = _make_workspaces(outcome, unknown)
    _remove_again(outcome)
    _point_again(outcome, units)
    outcome.landed = again.land([unit for unit in unknown if unit.segment.workspace_id in made], looked.histories)
    for workspace_id, history in looked.histories.items():
        with transaction.atomic():
            for one in looked.journals.get(workspace_id, ()):
                adopting.journal_object(workspace_id, one)
            if history.last > adopting.last_number(workspace_id):
                adopting.continue_journal(workspace_id, history.last)
    adopting.forget_gone([*looked.gone, *looked.gone_journals])


def _make_workspaces(outcome: Outcome, unknown: list[Unit]) -> set[int]:
    """Make the workspaces of these batches that were made after the backup. Their ids are part of their records' identities."""
    names = {unit.segment.workspace_id: unit.segment.workspace for unit in unknown}
    there = set(Workspace.objects.filter(pk__in=names).values_list("pk", flat=True))
    for workspace_id in sorted(names.keys() - there):
        if Workspace.objects.filter(name=names[workspace_id]).exists():
            outcome.looked.nameless.append(names[workspace_id])
            continue
        Workspace.objects.create(pk=workspace_id, name=names[workspace_id])
        outcome.workspaces_made.append(names[workspace_id])
        there.add(workspace_id)
    for workspace_id in there:
        outcome.looked.history(workspace_id)
    return there


def _remove_again(outcome: Outcome) -> None:
    """Repeat removals that are missing from the database, because readers were told that these records are gone."""
    for workspace_id, history in outcome.looked.histories.items():
        ids = sorted(history.removed)
        for at in range(0, len(ids), REMOVED_AT_ONCE):
            part = ids[at : at + REMOVED_AT_ONCE]
            try:
                with transaction.atomic():
                    instant = removal.draw(workspace_id)
                    files.remove_of_records(part)
                    reason = RemovedRecord.Reason(history.removed[part[0]][1] or "retention")
                    outcome.removed += removal.remove(workspace_id, part, at=instant, reason=reason)
            except LandingOpen:
                outcome.removals_waiting += len(part)


def _point_again(outcome: Outcome, units: dict[int, Unit]) -> None:
    """Point batches to their new segments if compaction has replaced and deleted the old ones since the backup."""
    looked = outcome.looked
    lost = adopting.batches_in(list(looked.gone))
    told = {number: key for one in looked.histories.values() for number, key in one.places.items()}
    emptied = [number for number in lost if number not in units and told.get(number) == ""]
    found = [units[number] for number in lost if number in units]
    with transaction.atomic():
        adopting.point(found)
        adopting.empty(emptied)
    outcome.pointed = len(found)
    outcome.missing_lines = sorted(set(lost) - set(emptied) - {unit.part.number for unit in found})


def _look_for_gaps(outcome: Outcome, row: RestoreMark, landed_again: list[int]) -> None:
    kept = gaps.of_json(row.missing)
    if outcome.known_to > outcome.last.batch_id or outcome.was_set_back:
        kept.append(IdRange(gaps.first_doubtful(outcome.last), outcome.known_to))
    skipped = [*row.leaps.get(BATCHES, []), *(outcome.mark.leaps.get(BATCHES, []) if outcome.mark else [])]
    outcome.missing = gaps.missing(gaps.outside(gaps.joined(kept), gaps.joined(IdRange(*one) for one in skipped)))
    if outcome.is_dry:
        outcome.missing = gaps.without(outcome.missing, landed_again)


def _look_for_files(outcome: Outcome) -> None:
    found = restored_files.in_bucket()
    outcome.unknown_files = [one.key for one in restored_files.unknown(found)]
    outcome.missing_files = list(restored_files.missing({one.key for one in found}))


def _finish(outcome: Outcome) -> None:
    """End the check. From now on the database is trusted again."""
    missing = [{"first": one.first, "last": one.last} for one in outcome.missing]
    if outcome.was_set_back or outcome.landed.batch_ids or outcome.pointed or outcome.removed:
        adopting.fill_journal_again()
    marks.settle(missing)
    log.info("restore.checked", was_set_back=outcome.was_set_back, landed_again=len(outcome.landed.batch_ids))
