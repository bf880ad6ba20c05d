"""The sweeper covers all batches, however many of them wait for their files."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from django.utils import timezone

from ingest.models import Batch, Workspace
from ingest.pipeline import sweeper
from lake.processors import Processor, WakeUp


class Waiting(Processor):
    """A processor that has not settled some batches, like the files of a paused host."""

    name = "waiting"

    def __init__(self) -> None:
        self.unsettled: set[int] = set()
        self.asked: list[int] = []

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        """Does nothing."""

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        self.asked += batch_ids
        return set(batch_ids) - self.unsettled


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiting]:
    made = Waiting()
    monkeypatch.setattr("lake.processors.installed", lambda: (made,))
    monkeypatch.setattr(sweeper._ProcessingWalk, "place", 0)
    yield made


def left_behind(workspace: Workspace, status: str, count: int) -> list[int]:
    """Makes batches that have been in this status for a minute."""
    ago = timezone.now() - timedelta(minutes=1)
    made = Batch.objects.bulk_create(
        Batch(
            workspace=workspace, source="api", type="call", status=status, created_at=ago, landed_at=ago,
            record_count=1, accepted_count=1, rejected_count=0, error_count=0,
        )
        for _ in range(count)
    )  # fmt: skip
    return [batch.pk for batch in made]


@pytest.mark.parametrize("status", ["LANDED", "PROCESSING"])
def test_abandoned_batch_behind_thousands_of_waiting_ones_is_completed(
    workspace: Workspace, processor: Waiting, status: str
) -> None:
    processor.unsettled = set(left_behind(workspace, "PROCESSING", 2500))
    (forgotten,) = left_behind(workspace, status, 1)
    sweeper.sweep()
    assert Batch.objects.get(id=forgotten).status == "COMPLETE"
    assert Batch.objects.filter(status="PROCESSING").count() == 2500


def test_each_round_continues_where_the_last_one_ended_and_the_next_starts_again(
    workspace: Workspace, processor: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "MAX_BATCHES", 10)
    monkeypatch.setattr(sweeper, "MAX_STEPS", 2)
    waiting = left_behind(workspace, "PROCESSING", 50)
    processor.unsettled = set(waiting)
    rounds = []
    for _ in range(4):
        processor.asked = []
        sweeper.sweep()
        rounds.append(processor.asked)
    assert [len(asked) for asked in rounds] == [20, 20, 10, 20]
    assert rounds[0] + rounds[1] + rounds[2] == waiting
    assert rounds[3] == rounds[0]
