"""A worker has as many download threads as slots, plus one for each transfer that has proved to be slow."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from attachments.fetch.watch import SILENT_AFTER_SECONDS, SLOW_AFTER_SECONDS, SLOW_BYTES_PER_SECOND, Transfer
from attachments.models import Attachment, Lane
from attachments.queue import claims, lanes, yielding
from attachments.queue.slots import Slots
from ingest.models import Workspace
from tests.attachments.journey import file, send
from tests.attachments.test_claims import at
from tests.http_client import ApiClient
from tests.journeys.stack import until


def claim(id: int, workspace: int) -> Any:
    return SimpleNamespace(id=id, workspace_id=workspace)


@pytest.fixture(autouse=True)
def forget_slow_transfers() -> Iterator[None]:
    yield
    claims.slow, claims.stuck = set(), set()


@pytest.fixture
def busy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Two slots whose work continues until the test ends it."""
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 2
    monkeypatch.setattr(
        "attachments.queue.slots.connection", SimpleNamespace(close_if_health_check_failed=int, close=int)
    )
    monkeypatch.setattr("attachments.queue.slots.close_old_connections", int)
    state = SimpleNamespace(running=0, end=threading.Semaphore(0))
    lock = threading.Lock()

    def work() -> None:
        with lock:
            state.running += 1
        state.end.acquire()
        with lock:
            state.running -= 1

    state.slots = Slots(work)
    yield state
    for _ in range(50):
        state.end.release()
    state.slots.stop(10)


def test_no_more_threads_work_than_there_are_slots(busy: SimpleNamespace) -> None:
    for _ in range(2):
        busy.slots.wake()
    until(lambda: busy.running == 2, "both slots work")
    for _ in range(3):
        busy.slots.wake()
    assert busy.slots._threads == 2
    busy.end.release()
    until(lambda: busy.running == 2 and busy.slots._wakes == 1, "the slot that ended was woken again")


def test_slow_transfer_gives_its_slot_to_another_thread_and_takes_none_back(busy: SimpleNamespace) -> None:
    transfer = Transfer(deadline_at=1e12)
    busy.slots.wake()
    busy.slots.wake()
    until(lambda: busy.running == 2, "both slots work")
    with busy.slots.using(claim(7, 1), transfer):
        transfer.judge(transfer.started_at + SLOW_AFTER_SECONDS)
        assert (transfer.has_left, claims.slow) == (True, {7})
        until(lambda: busy.running == 3, "another thread uses the slot")
    assert claims.slow == set()
    busy.end.release()
    until(lambda: busy.slots._threads == 2, "the surplus thread ends")


@pytest.mark.parametrize(
    ("took", "received"),
    [(SILENT_AFTER_SECONDS - 1, 0), (SLOW_AFTER_SECONDS - 1, 1), (10, 10 * SLOW_BYTES_PER_SECOND)],
)
def test_young_or_fast_transfer_keeps_its_slot(took: float, received: int) -> None:
    transfer = Transfer(deadline_at=1e12, leave_slot=lambda: True, bytes_read=received)
    transfer.judge(transfer.started_at + took)
    assert not transfer.has_left


def test_workspace_gets_a_quarter_of_the_free_places_for_slow_transfers(
    busy: SimpleNamespace, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_SLOW_TRANSFERS = 16
    left = {
        workspace: sum(busy.slots._leave(claim(100 * workspace + n, workspace)) for n in range(20))
        for workspace in (1, 2)
    }
    assert left == {1: 3, 2: 2}
    of_one_each = [busy.slots._leave(claim(1000 + n, 10 + n)) for n in range(20)]
    assert sum(of_one_each) == 16 - 3 - 2


def test_workspace_takes_at_most_three_quarters_of_the_free_slots(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 16
    neighbour = new_client(of=other_workspace)
    send(api, *at(1111, 2222, 3333, each=3))
    send(api, *at(1111, 2222, 3333, each=3))
    mine = [claims.take() for _ in range(16)]
    assert sum(one is not None for one in mine) == 12
    send(neighbour, *at(1111, each=6))
    theirs = [claims.take() for _ in range(6)]
    assert sum(one is not None for one in theirs) == 3


def test_slow_transfer_counts_against_the_limit_of_its_host_but_not_against_the_slots(
    api: ApiClient, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 4
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 4
    send(api, *at(1111, each=10))
    first = [one.id for one in (claims.take() for _ in range(5)) if one]
    assert len(first) == 3
    claims.slow = set(first)
    assert [claims.take() is not None for _ in range(2)] == [True, False]
    send(api, file("http://127.0.0.1:2222/a"))
    assert claims.take() is not None


def test_workspace_whose_hosts_are_all_busy_delays_no_other_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 1
    send(api, *at(1111, each=5))
    taken = claims.take()
    assert taken is not None
    claims.slow = {taken.id}
    send(new_client(of=other_workspace), *at(1111, each=1))
    following = claims.take()
    assert following is not None
    assert following.workspace_id == other_workspace.pk


def test_uploaded_files_have_no_host_and_no_limit_per_host(api: ApiClient, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 1
    uploads: list[dict[str, object]] = [{"type": "audio", "upload_intent_id": f"upl_{n}"} for n in range(5)]
    send(api, *uploads)
    taken = [claim for claim in claims.take_for(["a", "b", "c"]) if claim]
    assert [claim.host for claim in taken] == ["", "", ""]


def stuck(slots: Slots, workspace: int, count: int, stack: contextlib.ExitStack) -> list[Transfer]:
    """Transfers of a workspace that are slow and find no extra place."""
    transfers = [Transfer(deadline_at=1e12) for _ in range(count)]
    for number, transfer in enumerate(transfers):
        stack.enter_context(slots.using(claim(1000 * workspace + number, workspace), transfer))
        transfer.judge(transfer.started_at + SLOW_AFTER_SECONDS)
    return transfers


@pytest.fixture
def full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Slots without extra places, of which workspace 1 uses all that it may by slow transfers."""
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY, settings.EVERMUSE_ATTACHMENT_SLOW_TRANSFERS = 16, 0
    state = SimpleNamespace(slots=Slots(int), waiting=Counter())
    monkeypatch.setattr(yielding, "LOOK_SECONDS", 3600)
    monkeypatch.setattr(yielding, "newcomers", lambda workspaces, at_most: state.waiting)
    with contextlib.ExitStack() as stack:
        state.transfers = stuck(state.slots, 1, 12, stack)
        yield state


@pytest.mark.parametrize(("hosts", "stopped"), [(0, 0), (1, 1), (4, 4), (50, 6)])
def test_youngest_slow_transfers_yield_to_other_hosts_up_to_half_of_the_share(
    full: SimpleNamespace, hosts: int, stopped: int
) -> None:
    full.waiting = Counter({1: hosts})
    full.slots.make_room()
    full.slots.make_room()
    assert [one.stopped for one in full.transfers] == [None] * (12 - stopped) + [yielding.YIELDED] * stopped


@pytest.mark.parametrize(("hosts", "stopped"), [(1, 0), (2, 1)])
def test_no_transfer_yields_to_a_host_that_finds_a_free_slot(full: SimpleNamespace, hosts: int, stopped: int) -> None:
    # Of the four slots that workspace 1 leaves, workspace 2 may use three.
    full.waiting = Counter({2: hosts})
    with contextlib.ExitStack() as stack:
        transfers = stuck(full.slots, 2, 2, stack)
        full.slots.make_room()
        assert [one.stopped for one in transfers].count(yielding.YIELDED) == stopped


def test_file_that_yields_waits_without_a_counted_attempt_and_hosts_that_answer_come_first(
    api: ApiClient, settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 4
    slow = send(api, *at(1111, each=1))
    taken = claims.take()
    assert taken is not None
    claims.fail(taken, yielding.YIELDED, received=5, wait=0.0, is_counted=False, is_host_slow=True)
    row = api.rows(slow, "attachments")[0]
    assert (row["state"], [one["code"] for one in row["attempts"]]) == ("PENDING", ["YIELDED"])
    assert Attachment.objects.get(pk=taken.id).attempts == 0
    lanes.refresh()
    assert yielding.newcomers([taken.workspace_id], 9) == Counter()
    send(api, *at(2222, 3333, each=1))
    assert yielding.newcomers([taken.workspace_id], 9) == Counter({taken.workspace_id: 2})


def test_hosts_of_each_reputation_share_the_slots_of_a_workspace(api: ApiClient, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 16
    send(api, *at(*range(2000, 2010), each=1))
    lanes.refresh()
    Lane.objects.update(reputation=Lane.Reputation.FAILS)
    send(api, *at(1111, 1112, each=2))
    lanes.refresh()
    Lane.objects.filter(host__endswith=":1111").update(reputation=Lane.Reputation.ANSWERS)
    ports = [one.host.rpartition(":")[2] for one in (claims.take() for _ in range(6)) if one]
    assert sorted(ports)[:4] == ["1111", "1111", "1112", "1112"]
    assert len(ports) == 6


def test_slow_downloads_in_slots_count_as_those_of_hosts_that_fail(api: ApiClient, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 16
    send(api, *at(*range(2000, 2006), each=1))
    claims.stuck = {one.id for one in (claims.take() for _ in range(6)) if one}
    send(api, *at(3000, 3001, each=4))
    lanes.refresh()
    Lane.objects.filter(host__endswith=":3000").update(reputation=Lane.Reputation.FAILS)
    ports = [one.host.rpartition(":")[2] for one in (claims.take() for _ in range(4)) if one]
    assert ports == ["3001"] * 4


def test_claim_takes_the_new_host_that_came_first_or_the_one_that_came_last(
    api: ApiClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 64
    for port in range(2000, 2008):
        send(api, *at(port, each=1))
        lanes.refresh()
    for is_newest, hosts in ((True, [2007, 2006]), (False, [2000, 2001]), (True, [2005])):
        monkeypatch.setattr(claims, "newest_first", lambda chosen=is_newest: chosen)
        taken = [claims.take() for _ in hosts]
        assert [one and int(one.host.rpartition(":")[2]) for one in taken] == hosts


def test_among_hosts_that_answer_the_one_that_waits_longest_comes_first(
    api: ApiClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "newest_first", lambda: True)
    settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 64
    for port in range(2000, 2008):
        send(api, *at(port, each=1))
        lanes.refresh()
    Lane.objects.update(reputation=Lane.Reputation.ANSWERS)
    ports = [int(one.host.rpartition(":")[2]) for one in (claims.take() for _ in range(4)) if one]
    assert ports == [2000, 2001, 2002, 2003]
