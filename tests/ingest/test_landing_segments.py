"""Landing writes one segment for the batches that land together; its row is stored before its object."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import zstandard
from django.contrib.auth import get_user_model
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evermuse import retry_policy
from evermuse.errors import StoreUnavailable
from ingest.models import Batch
from ingest.pipeline import claims
from ingest.pipeline import landing as pipeline
from lake import archive, object_store
from lake.models import Segment, SegmentBatch
from lake.segments import sweeper
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land
from tests.ingest.test_claims import expire
from tests.records import record

ABANDONED = retry_policy.ABANDONED_OBJECTS


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def object_of(segment: Segment) -> bytes | None:
    return object_store.get(segment.key, max_bytes=10_000_000)


def lines_of(batch_id: str) -> list[Any]:
    """Returns the archived data of a batch, parsed."""
    found = archive.of(number(batch_id))
    assert found
    return [json.loads(line)["data"] for line in archive.lines(found)]


def let_expire() -> None:
    """Ends the grace time of every segment that is not live."""
    Segment.objects.update(expires_at=F("expires_at") - timedelta(days=1))


def test_batches_that_land_together_share_an_object_and_keep_separate_archives(api: ApiClient) -> None:
    ids = [api.post([record(data={"n": n, "i": i}) for i in range(3)]).json()["batchId"] for n in range(5)]
    assert pipeline.land_waiting() == 5
    (segment,) = Segment.objects.all()
    assert (segment.state, segment.line_count) == ("L", 15)
    content = object_of(segment)
    assert content and len(content) == segment.size
    for n, batch_id in enumerate(ids):
        assert lines_of(batch_id) == [{"n": n, "i": i} for i in range(3)]
    uris = {row["storageUri"] for row in api.get("/api/v1/records", "limit=100").json()["records"]}
    assert uris == {object_store.uri(segment.key)}


def test_each_source_type_and_date_has_its_own_segment(new_client: Callable[..., ApiClient]) -> None:
    crm, desk = new_client(source="crm"), new_client(source="desk")
    crm.post(record()), crm.post(record(type="email")), desk.post(record())
    yesterday = crm.post(record()).json()["batchId"]
    Batch.objects.filter(id=number(yesterday)).update(created_at=F("created_at") - timedelta(days=1))
    assert pipeline.land_waiting() == 4
    assert Segment.objects.count() == 4
    for segment in Segment.objects.all():
        assert f"/source={segment.source}/type={segment.type}/date={segment.day}/segment-" in segment.key


def test_batch_of_several_blocks_is_read_back_whole(api: ApiClient) -> None:
    texts = [{"text": chr(97 + n % 26) * 20_000, "n": n} for n in range(40)]
    batch_id = send_and_land(api, [record(data=one) for one in texts])
    place = SegmentBatch.objects.get()
    assert place.ends and place.firsts and len(place.ends) == len(place.firsts) > 5
    assert place.ends[-1] == place.length
    assert lines_of(batch_id) == texts


def test_worker_that_lost_its_claim_leaves_no_object(api: ApiClient) -> None:
    batch_id = api.post(record()).json()["batchId"]
    stale = claims.claim()
    landings = pipeline._archive(pipeline._parse(stale))
    expire()
    assert pipeline.land(claims.claim()) == 1
    assert pipeline._commit(landings) == []
    dead, live = Segment.objects.order_by("id")
    assert (dead.state, live.state) == ("A", "L")
    assert sweeper.sweep() == 1
    assert (object_of(dead), object_of(live) is not None) == (None, True)
    assert lines_of(batch_id) == [record()["data"]]


def test_segment_with_one_lost_claim_is_discarded_and_its_other_batches_land_again(api: ApiClient) -> None:
    """Otherwise a line of the batch that another worker lands would be in two objects."""
    ids = [api.post(record()).json()["batchId"] for _ in range(3)]
    taken = claims.claim()
    landings = pipeline._archive(pipeline._parse(taken))
    Batch.objects.filter(id=taken[1].batch_id).update(claim_token=F("claim_token") + 1)
    assert pipeline._commit(landings) == []
    assert Segment.objects.get().state == "A"
    expire()
    Batch.objects.update(not_before=None)
    assert pipeline.land_waiting() == 3
    assert [outcomes(api, batch_id) for batch_id in ids] == [["created"]] * 3
    assert sum(Segment.objects.filter(state="L").values_list("line_count", flat=True)) == 3


def test_row_of_a_segment_is_committed_before_its_object_is_written(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def put(key: str, content: bytes, content_type: str) -> str:
        seen.append((Segment.objects.get(key=key).state, key))
        return real(key, content, content_type)

    real = object_store.put
    monkeypatch.setattr(object_store, "put", put)
    send_and_land(api, record())
    assert seen == [("I", Segment.objects.get().key)]


def test_sweeper_deletes_the_object_of_a_worker_killed_after_writing_it(api: ApiClient) -> None:
    api.post(record())
    pipeline._archive(pipeline._parse(claims.claim()))
    segment = Segment.objects.get()
    assert segment.expires_at and segment.expires_at > timezone.now()
    assert sweeper.sweep() == 0
    assert object_of(segment)
    let_expire()
    assert sweeper.sweep() == 1
    assert object_of(segment) is None


def test_object_written_after_its_segment_was_given_up_is_deleted_later(api: ApiClient) -> None:
    api.post(record())
    pipeline._archive(pipeline._parse(claims.claim()))
    segment = Segment.objects.get()
    for _ in range(3):
        let_expire()
        object_store.put(segment.key, b"written late", "application/zstd")
        assert sweeper.sweep() == 1
        assert object_of(segment) is None
    while Segment.objects.filter(sweeps__lt=ABANDONED.max_attempts).exists():
        let_expire()
        sweeper.sweep()
    assert not Segment.objects.exists()


@pytest.mark.parametrize("deletions", [1, 2, 6, ABANDONED.max_attempts])
def test_waits_between_deletions_of_an_object_are_those_of_the_policy(api: ApiClient, deletions: int) -> None:
    api.post(record())
    pipeline._archive(pipeline._parse(claims.claim()))
    Segment.objects.update(sweeps=deletions - 1)
    let_expire()
    before = timezone.now()
    sweeper.sweep()
    wait = timedelta(seconds=ABANDONED.backoff(deletions))
    left = [one.expires_at for one in Segment.objects.all()]
    assert all(before + wait <= at <= timezone.now() + wait for at in left if at)
    assert bool(left) is not ABANDONED.is_last(deletions)


def test_landing_whose_segment_was_swept_starts_again(api: ApiClient) -> None:
    batch_id = api.post(record()).json()["batchId"]
    landings = pipeline._archive(pipeline._parse(claims.claim()))
    let_expire()
    sweeper.sweep()
    assert pipeline._commit(landings) == []
    assert api.batch(batch_id)["status"] == "LANDING"
    Batch.objects.update(not_before=None)
    assert pipeline.land_waiting() == 1
    assert lines_of(batch_id) == [record()["data"]]


def test_no_object_is_written_after_the_lease_has_expired(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(object_store, "put", lambda key, *_: written.append(key))
    monkeypatch.setattr("django.conf.settings.EVERMUSE_LEASE_SECONDS", 0)
    api.post(record())
    assert pipeline.land_waiting() == 0
    assert written == []


def test_batches_of_a_rejected_segment_wait_while_others_land(
    new_client: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    crm, desk = new_client(source="crm"), new_client(source="desk")
    refused, taken = crm.post(record()).json()["batchId"], desk.post(record()).json()["batchId"]

    def put(key: str, content: bytes, content_type: str) -> str:
        if "source=crm" in key:
            raise StoreUnavailable("it timed out")
        return real(key, content, content_type)

    real = object_store.put
    monkeypatch.setattr(object_store, "put", put)
    assert pipeline.land_waiting() == 1
    assert (crm.batch(refused)["status"], desk.batch(taken)["status"]) == ("LANDING", "COMPLETE")
    assert Batch.objects.get(id=number(refused)).failure == "object store: it timed out"


def test_sweeper_deletes_objects_after_the_store_is_available_again(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.post(record())
    pipeline._archive(pipeline._parse(claims.claim()))
    let_expire()

    def away(keys: list[str]) -> None:
        raise StoreUnavailable("it timed out")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "remove", away)
        assert sweeper.sweep() == 0
    let_expire()
    assert sweeper.sweep() == 1


def test_admin_downloads_a_batchs_own_lines_as_ndjson(api: ApiClient, client: Client) -> None:
    ids = [api.post(record(data={"n": n})).json()["batchId"] for n in range(3)]
    pipeline.land_waiting()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    answer = client.get(reverse("admin:ingest_batch_archive", args=[number(ids[1])]))
    assert f'filename="{ids[1]}.ndjson.zst"' in answer["Content-Disposition"]
    (line,) = zstandard.ZstdDecompressor().decompress(answer.content).splitlines()
    assert json.loads(line)["data"] == {"n": 1}


def test_admin_reports_that_the_store_is_unavailable(
    api: ApiClient, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = send_and_land(api, record())

    def away(key: str, start: int, length: int) -> bytes:
        raise StoreUnavailable("it timed out")

    monkeypatch.setattr(object_store, "get_range", away)
    client.force_login(get_user_model().objects.create_superuser("admin"))
    page = client.get(reverse("admin:ingest_batch_archive", args=[number(batch_id)]), follow=True)
    assert "The object store is away" in page.content.decode()


def test_batches_of_a_busy_workspace_are_gathered_and_a_lone_one_is_claimed_at_once(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "GATHER_SECONDS", 60.0)
    api.post(record())
    assert len(claims.claim(is_patient=True)) == 1
    api.post(record()), api.post(record())
    assert len(claims.claim(is_patient=True)) == 2
    api.post(record())
    with pytest.raises(claims.Gathering):
        claims.claim(is_patient=True)
    for _ in range(claims.CLAIM_BATCHES - 1):
        api.post(record())
    assert len(claims.claim(is_patient=True)) == claims.CLAIM_BATCHES


def test_gathering_workspace_gives_its_turn_to_others(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "GATHER_SECONDS", 60.0)
    foreign = new_client(of=other_workspace)
    api.post(record()), api.post(record())
    claims.claim()
    api.post(record())
    foreign.post(record())
    (claim,) = claims.claim(is_patient=True)
    assert claim.workspace_id == other_workspace.pk
    with pytest.raises(claims.Gathering):
        claims.claim(is_patient=True)


def test_batch_in_a_single_block_stores_no_arrays_of_places(api: ApiClient) -> None:
    send_and_land(api, [record(), record()])
    place = SegmentBatch.objects.get()
    assert (place.ends, place.firsts, place.line_count) == (None, None, 2)


def test_failed_deletion_of_an_object_is_retried_soon(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    api.post(record())
    pipeline._archive(pipeline._parse(claims.claim()))
    let_expire()

    def away(keys: list[str]) -> None:
        raise StoreUnavailable("it timed out")

    monkeypatch.setattr(object_store, "remove", away)
    sweeper.sweep()
    segment = Segment.objects.get()
    assert (segment.state, segment.sweeps) == ("A", 0)
    assert segment.expires_at and segment.expires_at - timezone.now() <= timedelta(
        seconds=retry_policy.DELETION.furthest
    )


def test_wait_for_more_batches_ends_when_they_arrive(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the wait did not notice them, the test would take an hour."""
    monkeypatch.setattr(claims, "GATHER_SECONDS", 3600.0)
    monkeypatch.setattr(claims, "CLAIM_BATCHES", 3)
    mine = {api.batch(api.post(record()).json()["batchId"])["batchId"] for _ in range(3)}
    assert len(mine) == 3
    workspace_id = Batch.objects.all()[0].workspace_id
    claims.await_company({workspace_id})
    claims.claim()
    new_client(of=other_workspace).post(record())
    claims.await_company({workspace_id})
