"""Processors beside the built-in one: they are called as the protocol says, and one's fault does not affect others."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.db.models import F
from django.test import override_settings
from django.utils import timezone

from attachments.processor import AttachmentDownloads
from evermuse import retry_policy
from evermuse.retry_policy import RetryPolicy
from ingest.models import Batch, ProcessorRun, Workspace
from ingest.pipeline import landing as pipeline
from ingest.pipeline import processing, runs, sweeper
from lake import processors
from lake.batch_records import records_of
from lake.processors import LandingBatch, Processor, WakeUp
from tests.http_client import ApiClient
from tests.ingest.landing import outcomes, send_and_land
from tests.records import record


class Recorder(Processor):
    """Records its calls; raises for the batches in ``poison``, in the method named by ``breaks``."""

    def __init__(self, name: str = "recorder") -> None:
        self.name = name
        self.breaks, self.poison, self.unsettled = "", set[int](), set[int]()
        self.everything = False
        self.prepared: list[int] = []
        self.started: list[int] = []
        self.asked: list[int] = []
        self.on_start: Callable[[Sequence[int], WakeUp], None] = lambda ids, wake: None

    def prepare(self, batches: Sequence[LandingBatch]) -> None:
        self._raise_in("prepare", [batch.id for batch in batches])
        self.prepared += [batch.id for batch in batches]

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        self._raise_in("start", batch_ids)
        self.on_start(batch_ids, wake)
        self.started += batch_ids

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        self._raise_in("settled", batch_ids)
        self.asked += batch_ids
        return set(batch_ids) - self.unsettled

    def _raise_in(self, method: str, batch_ids: Sequence[int]) -> None:
        if self.breaks == method and (self.everything or self.poison & set(batch_ids)):
            raise RuntimeError(f"{method} is broken")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installs processors beside the built-in one."""
    monkeypatch.setattr(sweeper._ProcessingWalk, "place", 0)

    def add(*added: Processor) -> None:
        monkeypatch.setattr(processors, "installed", lambda: (AttachmentDownloads(), *added))

    yield add


@pytest.fixture
def recorder(install: Callable[..., None]) -> Recorder:
    made = Recorder()
    install(made)
    return made


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def sweep_later() -> None:
    """Runs the sweeper's next round, in which batches that have just landed count as abandoned."""
    Batch.objects.update(landed_at=F("landed_at") - timedelta(seconds=10))
    sweeper.sweep()


def waits_are_over() -> None:
    ProcessorRun.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def test_processor_prepares_during_landing_starts_once_and_the_batch_completes(
    api: ApiClient, recorder: Recorder
) -> None:
    batch_id = send_and_land(api, record())
    assert (recorder.prepared, recorder.started) == ([number(batch_id)], [number(batch_id)])
    assert api.batch(batch_id)["status"] == "COMPLETE"
    assert not ProcessorRun.objects.exists()


def test_batch_is_processing_until_every_processor_has_settled_it(api: ApiClient, recorder: Recorder) -> None:
    recorder.unsettled = {number(api.post(record()).json()["batchId"])}
    pipeline.land_waiting()
    for _ in range(3):
        sweep_later()
    assert [batch["status"] for batch in api.get("/api/v1/ingest/batches").json()["batches"]] == ["PROCESSING"]
    assert recorder.started == list(recorder.unsettled)
    assert len(recorder.asked) == 4
    recorder.unsettled = set()
    sweep_later()
    assert Batch.objects.get().status == "COMPLETE"


def test_processors_only_receive_batches_that_have_landed(api: ApiClient, recorder: Recorder) -> None:
    complete = number(send_and_land(api, record()))
    waiting, left = (number(api.post(record()).json()["batchId"]) for _ in range(2))
    Batch.objects.filter(id=left).update(status="PROCESSING")
    recorder.started.clear()
    processing.advance([complete, waiting, left])
    assert recorder.started == [left]
    assert dict(Batch.objects.filter(id__in=[waiting, left]).values_list("id", "status")) == {
        waiting: "LANDING",
        left: "COMPLETE",
    }


def test_prepare_receives_the_accepted_records_inside_the_landing_transaction(
    api: ApiClient, install: Callable[..., None]
) -> None:
    seen: list[Any] = []

    class Reader(Recorder):
        def prepare(self, batches: Sequence[LandingBatch]) -> None:
            for batch in batches:
                assert connection.in_atomic_block
                assert not Batch.objects.filter(pk=batch.id, status="LANDED").exists()
                seen.extend((one.index, one.envelope.type, one.data) for one in batch.records)

    install(Reader())
    send_and_land(api, [record(data={"n": 0}), record(event_at="never"), record(data={"n": 2})])
    assert seen == [(0, "message", b'{"n": 0}'), (2, "message", b'{"n": 2}')]


def test_records_of_a_batch_are_read_as_it_sent_them(api: ApiClient, workspace: Workspace) -> None:
    first = send_and_land(api, [record(vendor_ids={"id": "1"}, data={"v": 1}), record(nature="x")])
    send_and_land(api, record(vendor_ids={"id": "1"}, data={"v": 2}))
    twice = send_and_land(api, [record(vendor_ids={"id": "2"}, data={"v": v}) for v in (1, 2)])
    assert outcomes(api, twice) == ["superseded", "created"]
    (one,) = records_of(number(first))
    assert (one.index, one.data, one.envelope.nature, one.envelope.project_ids) == (
        0, b'{"v": 1}', "evidence", ["proj-123"],
    )  # fmt: skip
    assert [one.data for one in records_of(number(twice))] == [b'{"v": 1}', b'{"v": 2}']
    assert len({one.id for one in records_of(number(twice))}) == 1
    waiting = api.post(record()).json()["batchId"]
    assert list(records_of(number(waiting))) == []


@pytest.mark.parametrize("method", ["prepare", "start", "settled"])
def test_failing_processor_stops_no_other_processor_and_no_other_batch(
    api: ApiClient, install: Callable[..., None], method: str
) -> None:
    broken, sound = Recorder("broken"), Recorder("sound")
    install(broken, sound)
    ids = [api.post(record()).json()["batchId"] for _ in range(3)]
    numbers = [number(batch_id) for batch_id in ids]
    broken.breaks, broken.poison = method, {numbers[1]}
    pipeline.land_waiting()
    assert sound.started == numbers
    assert [api.batch(batch_id)["status"] for batch_id in ids] == ["COMPLETE", "PROCESSING", "COMPLETE"]
    assert outcomes(api, ids[1]) == ["created"]
    run = ProcessorRun.objects.get(processor="broken")
    assert (run.batch_id, run.attempts, run.error) == (numbers[1], 1, f"RuntimeError: {method} is broken")
    assert run.next_attempt_at is not None

    broken.breaks = ""
    waits_are_over()
    sweep_later()
    assert api.batch(ids[1])["status"] == "COMPLETE"
    assert sorted(broken.prepared) == sorted(broken.started) == numbers


@pytest.mark.parametrize("method", ["prepare", "start", "settled"])
def test_processor_that_fails_for_all_batches_delays_no_landing(
    api: ApiClient, other_workspace: Workspace, new_client: Callable[..., ApiClient], recorder: Recorder, method: str
) -> None:
    recorder.breaks, recorder.everything = method, True
    other = new_client(of=other_workspace)
    ids = [send_and_land(client, [record(), record()]) for client in (api, other, api)]
    assert set(Batch.objects.values_list("status", flat=True)) == {"PROCESSING"}
    assert [outcomes(client, one) for client, one in zip((api, other, api), ids, strict=True)] == [["created"] * 2] * 3
    recorder.everything = False
    waits_are_over()
    sweep_later()
    assert set(Batch.objects.values_list("status", flat=True)) == {"COMPLETE"}


@pytest.mark.parametrize("method", ["start", "settled"])
def test_sweeper_waits_longer_after_each_failure_of_a_processor(
    api: ApiClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(retry_policy, "PROCESSORS", RetryPolicy(first=100, longest=1000))
    calls: list[int] = []

    def fail(name: str, ids: Sequence[int]) -> None:
        if name == method:
            calls.extend(ids)
            raise RuntimeError("it is broken")

    monkeypatch.setattr(recorder, "_raise_in", fail)
    send_and_land(api, record())
    waits: list[float] = []
    for _ in range(5):
        run = ProcessorRun.objects.get(processor="recorder")
        assert run.next_attempt_at is not None
        waits.append(round((run.next_attempt_at - timezone.now()).total_seconds(), -2))
        for _ in range(3):
            sweep_later()
        assert len(calls) == len(waits)
        waits_are_over()
        sweep_later()
    assert waits == [100, 200, 400, 800, 1000]


def test_wait_of_a_processor_beyond_the_longest_one_ends_at_once(api: ApiClient, recorder: Recorder) -> None:
    recorder.breaks, recorder.everything = "start", True
    send_and_land(api, record())
    ProcessorRun.objects.update(next_attempt_at=timezone.now() + timedelta(days=300))
    recorder.breaks = ""
    sweep_later()
    assert Batch.objects.get().status == "COMPLETE"


def test_batch_that_killed_its_worker_in_a_processor_is_not_started_again_at_once(
    api: ApiClient, recorder: Recorder
) -> None:
    """The call is stored before it is made, so the next worker finds it."""

    class Killed(BaseException):
        """Like SIGKILL, not handled by anything."""

    def kill(ids: Sequence[int], wake: WakeUp) -> None:
        raise Killed

    recorder.on_start = kill
    api.post(record())
    with pytest.raises(Killed):
        pipeline.land_waiting()
    with pytest.raises(Killed):
        sweep_later()
    run = ProcessorRun.objects.get(processor="recorder")
    assert (run.attempts, run.error, run.started_at) == (1, processing.DIED, None)
    sweep_later()
    waits_are_over()
    with pytest.raises(Killed):
        sweep_later()
    assert ProcessorRun.objects.get(processor="recorder").attempts == 2


def test_batch_whose_processor_failed_is_started_alone_next_time(api: ApiClient, recorder: Recorder) -> None:
    recorder.breaks, recorder.everything = "start", True
    for _ in range(3):
        api.post(record())
    pipeline.land_waiting()
    groups: list[list[int]] = []
    recorder.breaks, recorder.on_start = "", lambda ids, wake: groups.append(list(ids))
    waits_are_over()
    sweep_later()
    assert [len(group) for group in groups] == [1, 1, 1]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """Published wake-ups: task and batch numbers."""
    found: list[tuple[str, list[int]]] = []

    def publish(task: str, batch_ids: list[int], *, expires: float | None = 0) -> bool:
        found.append((task, batch_ids))
        return True

    monkeypatch.setattr("evermuse.wake.publish", publish)
    # Messages of other tests wait in the broker.
    monkeypatch.setattr("evermuse.wake._count", lambda task: 0)
    return found


def test_processor_is_given_a_function_that_publishes_its_own_task(
    api: ApiClient, recorder: Recorder, sent: list[tuple[str, list[int]]]
) -> None:
    recorder.task, recorder.on_start = "acme.count", lambda ids, wake: wake(2)
    send_and_land(api, record())
    assert sent.count(("acme.count", [])) == 2
    processors.look_again([3, 1])
    assert sent[-1] == ("ingest.advance_batches", [1, 3])


def test_retry_of_a_batch_calls_its_waiting_processors_at_once(
    api: ApiClient, recorder: Recorder, sent: list[tuple[str, list[int]]]
) -> None:
    recorder.breaks, recorder.everything = "start", True
    batch_id = send_and_land(api, record())
    recorder.breaks = ""
    answer = api.post(b"", path=f"/api/v1/ingest/batches/{batch_id}/retry")
    assert (answer.status_code, answer.json()["status"]) == (202, "PROCESSING")
    assert ("ingest.advance_batches", [number(batch_id)]) in sent
    processing.advance([number(batch_id)])
    assert api.batch(batch_id)["status"] == "COMPLETE"


def test_batch_does_not_land_if_the_built_in_processor_cannot_prepare(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the contract, a landed batch has its ledger of attachments."""
    with monkeypatch.context() as patch:
        patch.setattr("attachments.queue.registration.register", lambda batches: 1 / 0)
        batch_id = send_and_land(api, record())
        assert api.batch(batch_id)["status"] == "LANDING"
    Batch.objects.update(not_before=None)
    pipeline.land_waiting()
    assert api.batch(batch_id)["status"] == "COMPLETE"


class Named(Recorder):
    """Has a name of its own, like a deployment's processor."""

    def __init__(self) -> None:
        super().__init__("named")


class Nameless(Processor):
    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None: ...
    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        return set(batch_ids)


class Duck:
    name = "duck"

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None: ...


HERE = "tests.ingest.test_processors"
BUILT_IN = "attachments.processor.AttachmentDownloads"


def test_setting_adds_processors_to_the_built_in_one(settings: Any) -> None:
    assert settings.EVERMUSE_PROCESSORS[0] == BUILT_IN
    with override_settings(EVERMUSE_PROCESSORS=[BUILT_IN, f"{HERE}.Named"]):
        assert [one.name for one in processors.load()] == ["attachments", "named"]


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        (f"{HERE}.Nameless", "needs a name"),
        (f"{HERE}.Duck", "has no prepare, settled, task, must_prepare: make it a subclass of"),
        (BUILT_IN, "has the name 'attachments' of another"),
        ("nowhere.Processor", "cannot be loaded"),
        (f"{HERE}.HERE", "cannot be loaded"),
    ],
)
def test_invalid_processor_is_rejected_with_its_path_and_fault(added: str, fault: str) -> None:
    with override_settings(EVERMUSE_PROCESSORS=[BUILT_IN, added]):
        with pytest.raises(processors.WrongProcessor, match=fault):
            processors.load()
        (found,) = run_checks(tags=None)
    assert added in found.msg
    assert fault in found.msg


def test_stored_state_of_a_processor_is_read_as_written(workspace: Workspace) -> None:
    """The pipeline reads exactly the fields of the row."""
    ProcessorRun.objects.create(
        batch_id=7, processor="p", is_prepared=False, started_at=None, attempts=3,
        next_attempt_at=timezone.now() + timedelta(minutes=1), error="x",
    )  # fmt: skip
    run = runs.of([7]).get(7, "p")
    assert (run.is_prepared, run.is_started, run.is_settled, run.attempts, run.waits) == (False, False, False, 3, True)
    assert (runs.of([7]).get(7, "q").waits, runs.of([8]).get(8, "p").is_prepared) == (False, True)
