"""The last accepted version wins in whatever order batches land; a dict serves as the model."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils.crypto import get_random_string
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ingest.clients import api_keys, workspaces
from ingest.models import Batch
from ingest.pipeline import claims, transitions
from ingest.pipeline import landing as pipeline
from lake.models import Record
from tests.http_client import ApiClient
from tests.ingest.landing import data_of, outcomes
from tests.records import record

NAMES = ("a", "b", "c")
sent_records = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2)), min_size=1, max_size=4)


class Ordering(RuleBasedStateMachine):
    """Accepts, lands in any order, resends, loses a worker and retries; the lake holds the last accepted versions."""

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.savepoint()
        workspace = workspaces.ensure(name=f"w-{get_random_string(12)}", products=[("prod-abc", ["proj-123"])])
        key = api_keys.create(workspace=workspace, label="k", rate_limit=0)
        self.api = ApiClient(Client(), key.secret)
        self.workspace_id = workspace.pk
        # What each batch contains, in the order of acceptance; and the batches that wait.
        self.accepted: list[tuple[int, list[tuple[str, int]]]] = []
        self.waiting: list[int] = []

    def teardown(self) -> None:
        transaction.savepoint_rollback(self.point)

    @rule(sent=sent_records)
    def accept(self, sent: list[tuple[str, int]]) -> None:
        body = [record(vendor_ids={"id": name}, data={"v": value}) for name, value in sent]
        number = int(self.api.post(body).json()["batchId"][6:])
        self.accepted.append((number, sent))
        self.waiting.append(number)

    @rule(data=st.data())
    def land_some(self, data: Any) -> None:
        """Lands any of the waiting batches together; the others are hidden meanwhile."""
        if not self.waiting:
            return
        chosen = data.draw(st.sets(st.sampled_from(self.waiting), min_size=1))
        hidden = [number for number in self.waiting if number not in chosen]
        Batch.objects.filter(id__in=hidden).update(status="FAILED")
        pipeline.land_waiting()
        Batch.objects.filter(id__in=hidden).update(status="LANDING")
        self.waiting = hidden

    @rule()
    def lose_a_worker(self) -> None:
        """A worker claims all waiting batches and dies; its late commit changes nothing."""
        claimed = claims.claim()
        landings = pipeline._archive(pipeline._parse(claimed)) if claimed else []
        Batch.objects.filter(id__in=[c.batch_id for c in claimed]).update(claimed_until="2000-01-01T00:00Z")
        while retaken := claims.claim():
            assert pipeline.land(retaken) == len(retaken)
        self.waiting = []
        if landings:
            assert pipeline._commit(landings) == []

    @rule(data=st.data())
    def retry_a_landed_one(self, data: Any) -> None:
        """A batch that had landed is marked failed and retried: landing it again must not bring older versions back."""
        landed = [number for number, _ in self.accepted if number not in self.waiting]
        if landed:
            number = data.draw(st.sampled_from(landed))
            Batch.objects.filter(id=number).update(status="FAILED")
            assert transitions.reopen(number)
            self.waiting.append(number)

    @invariant()
    def the_lake_is_what_was_accepted_last(self) -> None:
        landed = [(n, sent) for n, sent in self.accepted if n not in self.waiting or self._has_landed(n)]
        expected: dict[str, bytes] = {}
        for _, sent in landed:
            expected |= {name: b'{"v": %d}' % value for name, value in sent}
        rows = Record.objects.filter(workspace_id=self.workspace_id)
        assert sorted(map(data_of, rows)) == sorted(expected.values())

    def _has_landed(self, number: int) -> bool:
        return hasattr(Batch.objects.get(id=number), "outcomes")

    @invariant()
    def outcomes_sum_to_what_was_sent(self) -> None:
        for number, sent in self.accepted:
            if number not in self.waiting:
                found = outcomes(self.api, f"batch_{number:019d}")
                assert len(found) == len(sent)
                assert set(found) <= {"created", "updated", "identical", "superseded"}


@pytest.fixture
def in_transaction(db: None) -> Iterator[None]:
    assert connection.in_atomic_block
    yield


def test_last_accepted_version_is_stored_in_whatever_order_batches_land(in_transaction: None) -> None:
    run_state_machine_as_test(
        Ordering,
        settings=settings(
            max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
