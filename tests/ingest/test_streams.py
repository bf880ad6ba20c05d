"""The slots for a key's streams, in a real Redis."""

import secrets
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from django.conf import settings

from deploy.local.embedded import Servers
from ingest.refusals import Refusal
from ingest.streams import FULL, MOST_WAITING, OPENED, WAITING, StreamSlots

LIMIT = 4
# Requests older than this have certainly been announced by every process.
KNOWN = 0.5


@pytest.fixture
def slots(servers: Servers) -> StreamSlots:
    """The view of one process."""
    return StreamSlots(settings.REDIS_URL)


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"test {secrets.token_hex(8)}"


@pytest.fixture
def ask(slots: StreamSlots, key: str) -> Iterator[Callable[..., int]]:
    """``ask("a", ago=0.3)`` asks for a slot for a request that arrived that many seconds ago."""
    tokens = set()

    def asked(token: str, *, ago: float = 0.0, may_wait: bool = True) -> int:
        tokens.add(token)
        return slots.ask(key, token, time.time() - ago, may_wait=may_wait)

    yield asked
    for token in tokens:
        slots.release(key, token)


def fill(ask: Callable[..., int], count: int) -> list[str]:
    """Opens this many streams."""
    tokens = [f"open {number}" for number in range(count)]
    assert [ask(token, ago=KNOWN) for token in tokens] == [OPENED] * count
    return tokens


def test_stream_opens_at_once_while_its_key_has_free_slots(ask: Callable[..., int]) -> None:
    assert (ask("a"), ask("b")) == (OPENED, OPENED)


def test_last_slots_go_to_the_requests_that_arrived_first(ask: Callable[..., int]) -> None:
    fill(ask, LIMIT // 2)
    assert (ask("later"), ask("latest")) == (WAITING, WAITING)
    assert (ask("second", ago=0.7), ask("first", ago=0.8)) == (OPENED, OPENED)
    assert (ask("later", may_wait=False), ask("latest", may_wait=False)) == (FULL, FULL)


def test_request_that_may_not_wait_is_opened_or_rejected_at_once(ask: Callable[..., int]) -> None:
    answers = [ask(f"at once {number}", may_wait=False) for number in range(LIMIT + 1)]
    assert answers == [OPENED] * LIMIT + [FULL]


def test_released_slot_goes_to_the_request_that_has_waited_longest(
    ask: Callable[..., int], slots: StreamSlots, key: str
) -> None:
    first, *_ = fill(ask, LIMIT)
    assert (ask("later", ago=0.6), ask("earlier", ago=0.7)) == (WAITING, WAITING)
    slots.release(key, first)
    assert (ask("later"), ask("earlier"), ask("later", may_wait=False)) == (WAITING, OPENED, FULL)


def test_request_that_stops_waiting_delays_no_other(ask: Callable[..., int], slots: StreamSlots, key: str) -> None:
    first, *_ = fill(ask, LIMIT)
    assert (ask("gone", ago=0.7), ask("later", ago=0.6)) == (WAITING, WAITING)
    slots.release(key, "gone")
    slots.release(key, first)
    assert ask("later") == OPENED


def test_slots_and_turns_of_a_killed_process_expire(ask: Callable[..., int], key: str) -> None:
    now = time.time()
    store = redis.Redis.from_url(settings.REDIS_URL)
    store.zadd(f"evermuse:streams:{key}", {f"killed {number}": int(now) - 1 for number in range(LIMIT)})
    store.zadd(f"evermuse:waiting-streams:{key}", {f"killed {number}": (now - 5) * 1e6 for number in range(LIMIT)})
    assert fill(ask, LIMIT)


def test_key_has_a_limited_number_of_waiting_requests(ask: Callable[..., int]) -> None:
    fill(ask, LIMIT)
    waiting = [ask(f"waiting {number}") for number in range(MOST_WAITING)]
    assert waiting == [WAITING] * MOST_WAITING
    assert ask("one more") == FULL


@pytest.mark.parametrize(("ago", "sound"), [(3600.0, 0.6), (-3600.0, -0.1)])
def test_arrival_time_of_a_wrong_clock_is_corrected(
    ask: Callable[..., int], slots: StreamSlots, key: str, ago: float, sound: float
) -> None:
    first, *_ = fill(ask, LIMIT)
    assert (ask("off", ago=ago), ask("sound", ago=sound)) == (WAITING, WAITING)
    slots.release(key, first)
    assert (ask("sound"), ask("off", may_wait=False)) == (WAITING, OPENED)


def test_each_process_counts_its_own_streams_without_redis(key: str) -> None:
    alone = StreamSlots("redis://127.0.0.1:1/0")
    places = [alone.place(key, None) for _ in range(LIMIT + 1)]
    assert all(place.is_open() for place in places[:LIMIT])
    with pytest.raises(Refusal) as refused:
        places[LIMIT].is_open()
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "RATE_LIMITED", 5)
    places[0].give_back()
    assert places[LIMIT].is_open()
    for place in places:
        place.give_back()
