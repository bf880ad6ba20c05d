"""Compares what was acknowledged with what is stored, after the faults are healed and the backlog has drained."""

import contextlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from evermuse import public_ids
from lake import frames
from lake.segments import reader
from tests.journeys import journals
from tests.journeys.deployment import BUCKET, Deployment, until
from tests.journeys.load import REFUSED, Load

TALLY = """
SELECT count(*) FROM attachments_attachmenttally t JOIN ingest_batch b ON b.id = t.batch_id WHERE b.workspace_id = %s
AND (t.total, t.complete, t.failed) <> (SELECT count(*), count(*) FILTER (WHERE state = 'COMPLETE'),
  count(*) FILTER (WHERE state = 'FAILED') FROM attachments_attachment a WHERE a.batch_id = t.batch_id)
"""
# Segments that the sweeper has not deleted yet.
UNSWEPT = "SELECT count(*) FROM lake_segment WHERE workspace_id = %s AND (state = 'I' OR (state = 'A' AND sweeps = 0))"

POINTED = """
SELECT r.batch_id, r.body_offset, b.segment_id FROM lake_record r LEFT JOIN lake_segmentbatch b ON b.batch_id = r.batch_id
WHERE r.workspace_id = %s
"""
KEPT = """
SELECT v.batch_id, v.body_offset FROM lake_recordversion v JOIN ingest_batch b ON b.id = v.batch_id WHERE b.workspace_id = %s
"""


@dataclass
class Verdict:
    """Counts that must all be zero, except for the first."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    wrong_version: int = 0
    wrong_counts: int = 0
    wrong_journal: int = 0
    orphans: int = 0
    told: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing acknowledged was lost, doubled or miscounted."""
        return not (
            self.lost or self.doubled or self.wrong_version or self.wrong_counts or self.wrong_journal or self.orphans
        )

    def tell(self, what: str) -> int:
        """Records a finding; returns 1, to be added to its count."""
        self.told.append(what)
        return 1


def judge(stack: Deployment, load: Load) -> Verdict:
    """Judges a trial. Payloads in PostgreSQL show which unanswered requests were stored; the API shows what became of all."""
    verdict = Verdict(acknowledged=len(load.acknowledged()))
    [(workspace_id,)] = stack.rows("SELECT id FROM ingest_workspace WHERE name = %s", load.client.workspace)
    payloads = _payloads(stack, workspace_id)
    _check_sends(verdict, load, payloads)
    _check_records(verdict, load, payloads)
    _check_batches(verdict, load, payloads)
    verdict.wrong_counts += stack.rows(TALLY, workspace_id)[0][0]
    verdict.wrong_journal += sum(map(verdict.tell, journals.differences(stack, load.client.workspace, workspace_id)))
    _check_objects(verdict, stack, load.client.workspace, workspace_id)
    _check_lines(verdict, stack, workspace_id)
    return verdict


def _payloads(stack: Deployment, workspace_id: int) -> dict[str, list[dict[str, Any]]]:
    rows = stack.rows(
        "SELECT b.id, p.content, p.frames, p.size FROM ingest_batch b JOIN lake_payload p ON p.batch_id = b.id "
        "WHERE b.workspace_id = %s ORDER BY b.id",
        workspace_id,
    )
    return {
        public_ids.of_batch(number): json.loads(frames.unpack(content, ends, size))
        for number, content, ends, size in rows
    }


def _check_sends(verdict: Verdict, load: Load, payloads: dict[str, list[dict[str, Any]]]) -> None:
    """Each acknowledged request is one batch, each unanswered one at most one, and each rejected one none."""
    found = Counter(records[0]["data"]["marker"] for records in payloads.values())
    for sent in load.sent:
        count = found[sent.marker]
        if sent.batch_id and (
            sent.batch_id not in payloads or payloads[sent.batch_id][0]["data"]["marker"] != sent.marker
        ):
            verdict.lost += verdict.tell(f"{sent} is not stored")
        if count > 1 or (count and sent.fate == REFUSED):
            verdict.doubled += verdict.tell(f"{sent} is stored {count} times")


def _check_records(verdict: Verdict, load: Load, payloads: dict[str, list[dict[str, Any]]]) -> None:
    """The lake holds each record once, in the version that was accepted last."""
    last = {
        record["_vendor_ids"]["id"]: (batch_id, record["data"])
        for batch_id, records in payloads.items()
        for record in records
    }
    stored = Counter[str]()
    for row in load.client.records():
        name = row["record"]["_vendor_ids"]["id"]
        stored[name] += 1
        if name in last and (row["batchId"], row["record"]["data"]) != last[name]:
            verdict.wrong_version += verdict.tell(f"{name}: {row['batchId']} is stored, {last[name]} was accepted last")
    for name in last.keys() - stored.keys():
        verdict.lost += verdict.tell(f"record {name} is not in the lake")
    verdict.doubled += sum(verdict.tell(f"record {name} is stored {n} times") for name, n in stored.items() if n > 1)


def _check_batches(verdict: Verdict, load: Load, payloads: dict[str, list[dict[str, Any]]]) -> None:
    """Every batch is terminal, and its counts are those of its outcomes."""
    statuses = {row["batchId"]: row for row in load.client.pages("/api/v1/ingest/batches", "batches")}
    for batch_id, records in payloads.items():
        outcomes = Counter(load.client.outcomes(batch_id))
        status = statuses[batch_id]
        accepted = sum(n for outcome, n in outcomes.items() if outcome != "rejected")
        if (
            status["status"] != "COMPLETE"
            or outcomes["pending"]
            or sum(outcomes.values()) != len(records)
            or (status["acceptedCount"], status["rejectedCount"]) != (accepted, outcomes["rejected"])
        ):
            verdict.wrong_counts += verdict.tell(f"{status}: {outcomes} of {len(records)}")


def _check_lines(verdict: Verdict, stack: Deployment, workspace_id: int) -> None:
    """The line of each current version is in its batch's segment, no line is in two live segments, and dead ones are counted."""
    places: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    counted: dict[int, int] = {}
    live = "SELECT id, key, dead_count FROM lake_segment WHERE workspace_id = %s AND state = 'L' AND layout < 2"
    for segment_id, key, dead in stack.rows(live, workspace_id):
        counted[segment_id] = dead
        with contextlib.closing(stack.store.get_object(BUCKET, key)) as answer:
            content = answer.read()
        for block in reader.blocks(content):
            for line in reader.read_block(block).entries():
                places[line.batch.number, line.offset].append(segment_id)
    needed = set(stack.rows(KEPT, workspace_id))
    for batch, offset, segment_id in stack.rows(POINTED, workspace_id):
        needed.add((batch, offset))
        if segment_id not in places[batch, offset]:
            verdict.lost += verdict.tell(f"batch {batch}, offset {offset} has no line in segment {segment_id}")
    verdict.doubled += sum(
        verdict.tell(f"{where} is in segments {ids}") for where, ids in places.items() if len(ids) > 1
    )
    dead_lines = Counter(id for where, ids in places.items() if where not in needed for id in ids)
    # A line that was left out may still be counted, if its record was removed while it was copied.
    verdict.wrong_counts += sum(
        verdict.tell(f"segment {id} has {n} dead lines, and {counted[id]} are counted")
        for id, n in dead_lines.items()
        if n > counted[id]
    )


def _check_objects(verdict: Verdict, stack: Deployment, workspace: str, workspace_id: int) -> None:
    """Every object has a row, every row has its object, and no upload is open.

    The segments of a killed worker are deleted after their grace time.
    """
    until(
        lambda: stack.rows(UNSWEPT, workspace_id) == [(0,)],
        "segments that are not live are deleted",
    )
    segments = f"SELECT 's3://{BUCKET}/' || key FROM lake_segment WHERE workspace_id = %s AND state IN ('L', 'R')"
    # A sweeper that was killed may have deleted the objects of replaced segments and left their rows, for the next round.
    kept = f"{segments} AND (state = 'L' OR sweeps = 0)"
    files = "SELECT storage_uri FROM attachments_storedfile WHERE workspace_id = %s"
    for prefix, statement, needed in (
        (f"workspace={workspace}/", f"{segments} AND layout < 2", f"{kept} AND layout < 2"),
        (f"journal/workspace={workspace}/", f"{segments} AND layout = 2", f"{kept} AND layout = 2"),
        (f"attachments/workspace={workspace}/", files, files),
    ):
        # The sweeper commits the rows before it deletes the objects.
        with contextlib.suppress(AssertionError):
            until(
                lambda prefix=prefix, statement=statement: (  # type: ignore[misc]
                    _objects(stack, prefix) <= _named(stack, statement, workspace_id)
                ),
                "objects without a row are deleted",
            )
        # Rows first: an object that was written since has a row that was not read.
        must_be = _named(stack, needed, workspace_id)
        there = _objects(stack, prefix)
        verdict.orphans += sum(
            verdict.tell(f"{uri} has no row") for uri in there - _named(stack, statement, workspace_id)
        )
        verdict.lost += sum(
            verdict.tell(f"{uri} does not exist") for uri in (must_be - there) & _named(stack, needed, workspace_id)
        )
    uploads = stack.store._list_multipart_uploads(BUCKET, prefix=f"attachments/workspace={workspace}/").uploads
    verdict.orphans += sum(verdict.tell(f"{one.object_name} is still open") for one in uploads)


def _objects(stack: Deployment, prefix: str) -> set[str]:
    return {f"s3://{BUCKET}/{found.object_name}" for found in stack.store.list_objects(BUCKET, prefix, recursive=True)}


def _named(stack: Deployment, statement: str, workspace_id: int) -> set[str]:
    return {row[0] for row in stack.rows(statement, workspace_id)}
