"""Compaction merges segments into few large ones; an interrupted compaction loses, doubles and leaves nothing."""

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import zstandard
from django.core.management import call_command
from django.db.models import F
from django.test import Client

from evermuse import prepared
from evermuse.errors import LeaseLost, StoreUnavailable
from ingest.models import Batch
from ingest.pipeline import compaction as pipeline
from lake import archive, object_store
from lake.models import ArchivedObject, Payload, Record, RecordVersion, RemovedRecord, Segment, SegmentBatch
from lake.parted_upload import PartedUpload
from lake.segments import compaction, layout, merging, reader, registry, sql, sweeper
from lake.segments.compaction import Result
from lake.segments.sources import Source
from lake.segments.writer import SegmentWriter
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.admin.conftest import login
from tests.ingest.landing import send_and_land, versions
from tests.ingest.test_landing_segments import let_expire, lines_of, number, object_of
from tests.records import record

__all__ = ["login"]

RECORDS = "/api/v1/records"
TOMORROW = datetime.now(UTC).date() + timedelta(days=1)


def compact() -> Result:
    """Compacts all dates, as if they were closed."""
    return compaction.compact(seconds=60, before=TOMORROW)


def live() -> list[Segment]:
    return list(Segment.objects.filter(state="L").order_by("id"))


def all_lines(segment: Segment) -> list[bytes]:
    content = object_of(segment)
    assert content and len(content) == segment.size
    found = [line for block in reader.blocks(content) for line in reader.read_block(block).lines]
    assert len(found) == segment.line_count
    return found


def read_cold(api: ApiClient) -> list[bytes]:
    """Returns all records without their storage URI, read from segments only."""
    Payload.objects.all().delete()
    return sorted(line.split(b'"record":')[1] for line in lines(api.get(RECORDS, accept=NDJSON)))


def test_small_segments_are_merged_into_one_from_which_every_record_is_read(api: ApiClient) -> None:
    ids = [send_and_land(api, [record(data={"n": n, "i": i}) for i in range(3)]) for n in range(8)]
    hot = sorted(line.split(b'"record":')[1] for line in lines(api.get(RECORDS, accept=NDJSON)))
    assert compact().merged == 8
    (segment,) = live()
    assert len(all_lines(segment)) == 24
    for n, batch_id in enumerate(ids):
        assert lines_of(batch_id) == [{"n": n, "i": i} for i in range(3)]
    assert read_cold(api) == hot
    uris = {row["storageUri"] for row in api.get(RECORDS, "limit=100").json()["records"]}
    assert uris == {object_store.uri(segment.key)}
    assert compact() == Result()


def test_replaced_objects_are_deleted_after_an_hour(api: ApiClient) -> None:
    send_and_land(api, record()), send_and_land(api, record())
    compact()
    replaced = list(Segment.objects.filter(state="R"))
    assert len(replaced) == 2
    for segment in replaced:
        assert segment.expires_at
        assert timedelta(minutes=59) < segment.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert sweeper.sweep() == 0
    assert all(object_of(segment) for segment in replaced)
    let_expire()
    assert sweeper.sweep() == 2
    assert not any(object_of(segment) for segment in replaced)
    assert Segment.objects.get().state == "L"


def test_segments_of_different_sources_types_and_workspaces_are_never_merged(
    new_client: Callable[..., ApiClient], other_workspace: Any
) -> None:
    crm, desk, foreign = new_client(source="crm"), new_client(source="desk"), new_client(of=other_workspace)
    for client in (crm, desk, foreign):
        send_and_land(client, record()), send_and_land(client, record(type="email"))
        send_and_land(client, record()), send_and_land(client, record(type="email"))
    compact()
    found = live()
    assert len(found) == 6
    for segment in found:
        content = object_of(segment)
        assert content
        for block in reader.blocks(content):
            listing = reader.read_block(block).listing
            assert (listing.workspace.id, listing.type) == (segment.workspace_id, segment.type)
            assert {part.source for part in listing.batches} == {segment.source}
        assert f"source={segment.source}/type={segment.type}/date={segment.day}/" in segment.key


def test_segments_of_a_date_that_is_not_closed_are_not_compacted(api: ApiClient) -> None:
    send_and_land(api, record()), send_and_land(api, record())
    assert compaction.compact(seconds=60) == Result()
    Segment.objects.update(day=compaction.closed_before() - timedelta(days=1))
    assert compaction.compact(seconds=60).merged == 2


def test_compaction_leaves_out_lines_that_no_version_needs(api: ApiClient) -> None:
    first = send_and_land(api, [versions("1"), record(data={"other": 1})])
    send_and_land(api, versions("2"))
    again = send_and_land(api, versions("2"))
    compact()
    (segment,) = live()
    # Version 1 was replaced and its lineage is kept; the unchanged copy of version 2 is not needed.
    assert segment.line_count == 3
    assert lines_of(first) == [{"v": "1"}, {"other": 1}]
    assert lines_of(again) == []
    assert SegmentBatch.objects.get(batch_id=number(again)).segment_id == segment.pk
    RecordVersion.objects.all().delete()
    send_and_land(api, record())
    compact()
    (segment,) = live()
    assert segment.line_count == 3
    assert lines_of(first) == [{"other": 1}]


def test_line_without_a_row_is_kept_for_a_repair(api: ApiClient) -> None:
    batch_id = send_and_land(api, [versions("1"), record()])
    send_and_land(api, record())
    Record.objects.filter(batch_id=number(batch_id)).delete()
    compact()
    assert len(lines_of(batch_id)) == 2


def test_segment_of_mostly_dead_lines_is_rewritten(api: ApiClient) -> None:
    batch_id = send_and_land(api, [versions("1"), versions("2"), record(), record()])
    assert compact() == Result()
    Segment.objects.update(dead_count=2)
    assert compact().merged == 1
    (segment,) = live()
    assert (segment.line_count, segment.dead_count) == (3, 0)
    assert lines_of(batch_id)[0] == {"v": "2"}
    assert compact() == Result()


def test_full_blocks_are_copied_and_small_ones_are_repacked(api: ApiClient) -> None:
    for n in range(3):
        send_and_land(api, [record(data={"text": chr(97 + n) * 9000, "i": i}) for i in range(20)])
    sent = [object_of(segment) for segment in live()]
    compact()
    (segment,) = live()
    content = object_of(segment)
    assert content
    for source in sent:
        assert source
        for size, block in zip(reader.table_of(source), reader.blocks(source), strict=True):
            assert (block in content) == (size.lines >= merging.FULL_BYTES)
    for place in SegmentBatch.objects.all():
        assert place.ends and place.firsts and place.ends[-1] == place.length
        assert place.firsts == sorted(place.firsts)
    assert len(read_cold(api)) == 60


def test_target_segment_ends_at_its_maximum_size_and_another_one_begins(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record fills a block of its own, because its text does not compress."""
    for n in range(6):
        send_and_land(api, record(data={"n": n, "text": random.Random(n).randbytes(60_000).hex()}))
    monkeypatch.setattr(merging, "TARGET_BYTES", 5 * live()[0].size // 2)
    assert compact().written == 2
    assert [segment.line_count for segment in live()] == [3, 3]
    assert len(read_cold(api)) == 6


def test_large_target_segment_is_uploaded_and_read_in_parts(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts do not compress."""
    rng = random.Random(7)
    texts = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=700_000)) for _ in range(20)]
    for n in range(0, 20, 4):
        send_and_land(api, [record(data={"text": text}) for text in texts[n : n + 4]])
    sent: list[int] = []

    def send(self: PartedUpload, part: bytes) -> None:
        sent.append(len(part))
        real(self, part)

    real = PartedUpload._send
    monkeypatch.setattr(PartedUpload, "_send", send)
    compact()
    (segment,) = live()
    assert len(sent) > 1 and sum(sent) == segment.size
    send_and_land(api, record())
    compact()
    assert len(read_cold(api)) == 21
    assert {json.loads(line[:-1])["data"].get("text") for line in read_cold(api)} >= set(texts)


CUTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the first byte": lambda patch: patch.setattr(PartedUpload, "write", fails),
    "before the object is whole": lambda patch: patch.setattr(PartedUpload, "complete", fails),
    "before the pointers": lambda patch: patch.setattr(compaction, "_swap", fails),
    "between the pointers": lambda patch: patch.setattr(registry, "parameters_of", fails),
}


class Killed(BaseException):
    """An exception that no code catches."""


def fails(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cut", CUTS)
def test_killed_compaction_changes_nothing_and_the_next_one_succeeds(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    for n in range(3):
        send_and_land(api, [record(data={"n": n, "i": i}) for i in range(2)])
    places = list(SegmentBatch.objects.order_by("batch_id").values_list())
    keys = {segment.key for segment in live()}
    with monkeypatch.context() as patch:
        CUTS[cut](patch)
        # A killed process releases nothing.
        patch.setattr(registry, "give_up", lambda ids: None)
        patch.setattr(compaction._Claims, "release", lambda self: None)
        with pytest.raises(Killed):
            compact()
    assert list(SegmentBatch.objects.order_by("batch_id").values_list()) == places
    assert {segment.key for segment in live()} == keys
    assert compact() == Result(), "the claims have not expired"
    Segment.objects.update(claimed_until=F("claimed_until") - timedelta(minutes=10))
    dead = Segment.objects.get(state="I")
    let_expire()
    sweeper.sweep()
    assert object_of(dead) is None
    assert compact().merged == 3
    assert len(all_lines(live()[0])) == 6
    assert len(read_cold(api)) == 6


def test_worker_whose_segments_were_claimed_again_does_not_replace_them(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, record()), send_and_land(api, record())
    places = list(SegmentBatch.objects.order_by("batch_id").values_list())

    def overtaken(self: PartedUpload) -> None:
        Segment.objects.filter(state="L").update(claim_token=F("claim_token") + 1)
        real(self)

    real = PartedUpload.complete
    monkeypatch.setattr(PartedUpload, "complete", overtaken)
    assert compact() == Result()
    assert list(SegmentBatch.objects.order_by("batch_id").values_list()) == places
    assert [segment.state for segment in Segment.objects.order_by("id")] == ["L", "L", "A"]


def test_compaction_ends_when_its_lease_is_lost_during_reading(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    send_and_land(api, record()), send_and_land(api, record())
    monkeypatch.setattr("django.conf.settings.EVERMUSE_LEASE_SECONDS", 0)
    Segment.objects.update(claim_token=5)
    claims = compaction._Claims([], 0)
    claims.keep()
    with pytest.raises(LeaseLost):
        compaction._Claims([Source(Segment.objects.all()[0].pk, 1, "key", 1, 1, datetime.now(UTC))], 0).keep()


def test_pointer_that_changed_during_compaction_is_left_alone(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = send_and_land(api, versions("1")), send_and_land(api, record())
    elsewhere = Segment.objects.create(
        workspace_id=Segment.objects.all()[0].workspace_id, source="api", type="call", day=date(2020, 1, 1), key="x",
        state="L", size=10**9, line_count=1, created_at=datetime.now(UTC),
    )  # fmt: skip

    def moved(self: PartedUpload) -> None:
        SegmentBatch.objects.filter(batch_id=number(first)).update(segment=elsewhere, start=7)
        real(self)

    real = PartedUpload.complete
    monkeypatch.setattr(PartedUpload, "complete", moved)
    compact()
    place = SegmentBatch.objects.get(batch_id=number(first))
    assert (place.segment_id, place.start) == (elsewhere.pk, 7)


def test_damaged_segment_is_skipped_and_the_others_are_merged(api: ApiClient) -> None:
    ids = [send_and_land(api, record(data={"n": n})) for n in range(4)]
    damaged = live()[1]
    object_store.put(damaged.key, b"x" * damaged.size, "application/zstd")
    compact()
    compact()
    assert damaged.pk in {segment.pk for segment in live()}
    assert len(live()) == 2
    assert [lines_of(batch_id) for batch_id in (ids[0], ids[2], ids[3])] == [[{"n": 0}], [{"n": 2}], [{"n": 3}]]


def test_unavailable_store_leaves_all_segments_unchanged_and_unclaimed(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, record()), send_and_land(api, record())

    def away(*_: object) -> None:
        raise StoreUnavailable("it timed out")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "get_range", away)
        assert compact() == Result()
    assert {segment.claimed_until for segment in live()} == {None}
    assert compact().merged == 2


def as_old_object(batch_id: str, api: ApiClient) -> None:
    """Turns a batch's lines into an object as versions before segments wrote it."""
    found = archive.of(number(batch_id))
    assert found
    content = archive.compressed(found)
    batch = Batch.objects.get(pk=number(batch_id))
    key = f"workspace=w/source=api/type={batch.type}/date={batch.created_at:%Y-%m-%d}/{batch_id}-0123456789abcdef.ndjson.zst"
    uri = object_store.put(key, content, "application/zstd")
    ArchivedObject.objects.create(
        batch=batch, uri=uri, record_count=found.record_count, size=len(content), sha256="0" * 64,
        created_at=batch.created_at,
    )  # fmt: skip
    segment = SegmentBatch.objects.get(batch=batch).segment_id
    SegmentBatch.objects.filter(batch=batch).delete()
    Segment.objects.filter(pk=segment).delete()


def test_objects_of_older_versions_are_read_adopted_and_compacted(api: ApiClient) -> None:
    pretty = b'{\r\n "a":\n 1}'
    raw = json.dumps(record(vendor_ids={"id": "pretty"})).encode().replace(b'{"text": "hello"}', pretty)
    ids = [send_and_land(api, [versions("1"), record(data={"n": 1})]), send_and_land(api, raw)]
    send_and_land(api, versions("2"))
    hot = sorted(line.split(b'"record":')[1] for line in lines(api.get(RECORDS, accept=NDJSON)))
    for batch_id in ids:
        as_old_object(batch_id, api)
    assert lines_of(ids[0]) == [{"v": "1"}, {"n": 1}]
    assert f"/{ids[1]}-" in api.get(RECORDS, "vendor_id=id:pretty").json()["records"][0]["storageUri"]
    assert pipeline.adopt() == 2
    assert not ArchivedObject.objects.exists()
    assert lines_of(ids[0]) == [{"v": "1"}, {"n": 1}]
    assert f"/{ids[1]}-" in api.get(RECORDS, "vendor_id=id:pretty").json()["records"][0]["storageUri"]
    assert compact().merged == 3
    (segment,) = live()
    assert segment.layout == Segment.Layout.LISTED
    assert lines_of(ids[0]) == [{"v": "1"}, {"n": 1}]
    assert read_cold(api) == hot
    Payload.objects.all().delete()
    assert pretty in api.get(RECORDS, "vendor_id=id:pretty").content


def test_old_object_whose_rows_were_lost_is_kept_unchanged(api: ApiClient) -> None:
    ids = [send_and_land(api, record()), send_and_land(api, record())]
    for batch_id in ids:
        as_old_object(batch_id, api)
    Record.objects.filter(batch_id=number(ids[0])).delete()
    pipeline.adopt()
    compact()
    assert sorted(segment.layout for segment in live()) == [0, 1]
    assert len(lines_of(ids[0])) == 1


def test_adoption_of_old_objects_proceeds_in_bounded_steps(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "ADOPTED_AT_ONCE", 2)
    for batch_id in [send_and_land(api, record()) for _ in range(5)]:
        as_old_object(batch_id, api)
    assert pipeline.adopt(steps=1) == 2
    assert ArchivedObject.objects.count() == 3
    assert pipeline.adopt() == 3


def test_compactsegments_includes_today_on_request_and_prints_json(
    api: ApiClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        send_and_land(api, record())
    call_command("compactsegments")
    assert json.loads(capsys.readouterr().out)["merged"] == 0
    call_command("compactsegments", "--include-today")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["merged"], printed["written"]) == (3, 1)


def test_segments_without_needed_lines_are_replaced_by_nothing(api: ApiClient) -> None:
    send_and_land(api, versions("1"))
    again = [send_and_land(api, versions("1")) for _ in range(2)]
    first = Segment.objects.order_by("id")[0]
    Segment.objects.filter(pk=first.pk).update(day=date(2020, 1, 1))
    assert compact() == Result(merged=2, written=0, bytes_before=compact_before(), bytes_after=0)
    assert live() == [first]
    let_expire()
    assert sweeper.sweep() == 3
    assert not any(object_of(segment) for segment in Segment.objects.exclude(pk=first.pk))
    assert [lines_of(batch_id) for batch_id in again] == [[], []]
    assert prepared.rows(sql.WHERE_BATCHES_ARE, {"batches": [number(again[0])]}) == []


def test_empty_segment_is_a_valid_zstd_file() -> None:
    empty = SegmentWriter(workspace_id=1, workspace="w", type="call").finish()
    assert empty == layout.seek_table([])
    assert zstandard.ZstdDecompressor().stream_reader(empty, read_across_frames=True).read() == b""


def test_batch_without_needed_lines_keeps_its_empty_archive_after_its_segment_is_gone(
    api: ApiClient, login: Callable[[str], Client]
) -> None:
    send_and_land(api, versions("1"))
    again = send_and_land(api, versions("1"))
    compact()
    send_and_land(api, record())
    compact()
    let_expire()
    sweeper.sweep()
    assert not Segment.objects.filter(id=SegmentBatch.objects.get(batch_id=number(again)).segment_id).exists()
    assert lines_of(again) == []
    client = login("superuser")
    page = client.get(f"/admin/ingest/batch/{number(again)}/change/").content.decode()
    assert "Its lines were removed by compaction" in page
    archived = client.get(f"/admin/ingest/batch/{number(again)}/archive/")
    assert (archived.status_code, zstandard.decompress(archived.content)) == (200, b"")


def test_line_of_a_removed_record_is_rewritten_away_after_a_month(api: ApiClient) -> None:
    sent = [record(vendor_ids={"id": str(n)}, data={"n": n}) for n in range(9)]
    batch_id = send_and_land(api, sent)
    gone = Record.objects.order_by("body_offset")[0]
    Record.objects.filter(id=gone.id).delete()
    RemovedRecord.objects.create(
        workspace_id=gone.workspace_id, removed_at=datetime.now(UTC), record_id=gone.id, reason="retention"
    )
    Segment.objects.update(dead_count=1)
    assert compact() == Result()
    Segment.objects.update(created_at=F("created_at") - timedelta(days=31))
    assert compact().merged == 1
    assert lines_of(batch_id) == [{"n": n} for n in range(1, 9)]
    assert compact() == Result()


def test_compaction_ends_even_if_more_segments_land_meanwhile(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    send_and_land(api, record()), send_and_land(api, record())
    landed: list[str] = []

    def write(self: PartedUpload, content: bytes) -> None:
        if len(landed) < 20:
            landed.append(send_and_land(api, record()))
        real(self, content)

    real = PartedUpload.write
    monkeypatch.setattr(PartedUpload, "write", write)
    assert compact().merged == 2
    assert len(landed) < 20
    monkeypatch.undo()
    assert compact().merged == 1 + len(landed)
    assert len(read_cold(api)) == 2 + len(landed)


def test_compaction_covers_all_sources_and_types(new_client: Callable[..., ApiClient]) -> None:
    for source in ("a", "b", "c"):
        client = new_client(source=source)
        for kind in ("email", "call"):
            send_and_land(client, record(type=kind)), send_and_land(client, record(type=kind))
    assert compact() == Result(merged=12, written=6, bytes_before=compact_before(), bytes_after=compact_after())


def compact_before() -> int:
    return sum(segment.size for segment in Segment.objects.filter(state="R"))


def compact_after() -> int:
    return sum(segment.size for segment in live())
