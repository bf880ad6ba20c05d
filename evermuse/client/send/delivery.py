"""Sends several batches at once. Batches with the same record are sent one after the other."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from operator import contains

from evermuse.client.answers import FieldError, Rejection
from evermuse.client.blocking import Client
from evermuse.client.endpoints import JSON, NDJSON, Packed, packed
from evermuse.client.errors import ApiError, EvermuseError
from evermuse.client.send.attaching import Attacher
from evermuse.client.send.checking import Candidate
from evermuse.client.send.journal import CURRENT, HELD, REPLACED, SENT, Journal, Plan
from evermuse.client.send.known import KnownRecords
from evermuse.client.send.outcome import Outcomes

# The server, or a proxy in front of it, would accept no more at once.
_TOO_MUCH = frozenset({"PAYLOAD_TOO_LARGE", "TOO_MANY_RECORDS", "TOO_MANY_ATTACHMENTS"})
TICK_SECONDS = 0.1


@dataclass(slots=True)
class Draft:
    """A batch to send. ``plan``: the plan of an earlier process, which may have sent it already."""

    candidates: list[Candidate]
    plan: Plan | None = None


class Stopped(Exception):
    """The run has ended before this batch was sent."""


class Delivery:
    """Sends drafts with ``width`` threads. The first error that retries cannot cure ends the run."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        known: KnownRecords,
        attacher: Attacher,
        outcomes: Outcomes,
        *,
        width: int,
    ) -> None:
        self._client, self._journal, self._known = client, journal, known
        self._attacher, self._outcomes = attacher, outcomes
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="send")
        # Drafts that are being sent, and drafts that wait, are all in memory.
        self._places = width + 2
        self._room = threading.Semaphore(self._places)
        self._lock = threading.Lock()
        # The identities of the records in each draft that is not sent yet.
        self._unsent: dict[Future[None], set[int]] = {}
        self.error: EvermuseError | OSError | None = None
        self._is_stopped = False

    def submit(self, draft: Draft, tick: Callable[[], None]) -> None:
        """Send a draft as soon as there is room. Calls ``tick`` while it waits. Raises the error that ended the run."""
        self._wait_for_room(tick)
        self._raise_if_ended()
        identities = {one.identity for one in draft.candidates}
        future: Future[None] = Future()
        with self._lock:
            before = [other for other, held in self._unsent.items() if not held.isdisjoint(identities)]
            self._unsent[future] = identities
        self._pool.submit(self._work, draft, before, future)

    def finish(self, tick: Callable[[], None]) -> None:
        """Wait until all drafts are sent. Calls ``tick`` meanwhile. Raises the error that ended the run."""
        for _ in range(self._places):
            self._wait_for_room(tick)
        self._pool.shutdown(wait=True)
        self._raise_if_ended()

    def stop(self) -> None:
        """Start no further batch."""
        self._is_stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _wait_for_room(self, tick: Callable[[], None]) -> None:
        while not self._room.acquire(timeout=TICK_SECONDS):
            tick()

    def _raise_if_ended(self) -> None:
        if self.error is not None:
            raise self.error
        if self._is_stopped:
            raise Stopped

    def _work(self, draft: Draft, before: Sequence[Future[None]], future: Future[None]) -> None:
        try:
            # This cannot deadlock: those were submitted earlier, so each has a thread already.
            for other in before:
                other.result()
            self._raise_if_ended()
            self._deliver(draft)
        except (EvermuseError, OSError) as error:
            self.error = self.error or error
        except Stopped:
            pass
        except BaseException as error:
            self.error = self.error or EvermuseError("CLIENT_FAULT", f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                del self._unsent[future]
            future.set_result(None)
            self._room.release()

    def _deliver(self, draft: Draft) -> None:
        candidates = draft.candidates
        if draft.plan is not None:
            body = self._body(candidates, draft.plan.uploads)
            if digest_of(body) == draft.plan.sha:
                self._post(draft.plan, candidates, body, is_repeated=True)
                return
            # The file or this program has changed since. Ask the server which of the records it has.
            self._journal.drop(draft.plan)
        codes = self._known.decide(candidates)
        chosen = {code: [c for c, one in zip(candidates, codes, strict=True) if one == code] for code in set(codes)}
        self._journal.settle([one.position for one in chosen.get(CURRENT, ())], CURRENT)
        for code in (REPLACED, HELD):
            self._outcomes.keep_back(chosen.get(code, ()))
            self._journal.settle([one.position for one in chosen.get(code, ())], code)
        if chosen.get(SENT):
            self._send(chosen[SENT])

    def _send(self, candidates: list[Candidate]) -> None:
        uploads = {_place(one): self._attacher.upload(one) for one in candidates if one.local_files}
        body = self._body(candidates, uploads)
        self._post(self._journal.plan([one.position for one in candidates], digest_of(body), uploads), candidates, body)

    def _body(self, candidates: Sequence[Candidate], uploads: dict[str, dict[str, str]]) -> Packed:
        if not uploads:
            return packed(*body_of([one.raw for one in candidates]))
        return packed(*body_of([self._raw(one, uploads.get(_place(one))) for one in candidates]))

    def _raw(self, candidate: Candidate, intents: dict[str, str] | None) -> bytes:
        return candidate.raw if intents is None else self._attacher.rewritten(candidate, intents)

    def _post(self, plan: Plan, candidates: list[Candidate], body: Packed, *, is_repeated: bool = False) -> None:
        try:
            answer = self._client.send(body, idempotency_key=plan.key)
            batch_id, accepted, rejected = answer.batch_id, answer.accepted_count, answer.rejected_count
        except ApiError as error:
            if error.code in _TOO_MUCH or error.status == 413:
                self._journal.drop(plan)
                self._split(candidates, error)
                return
            if error.code == "IDEMPOTENCY_KEY_REUSED" and is_repeated:
                self._journal.drop(plan)
                self._deliver(Draft(candidates))
                return
            if error.code != "VALIDATION_ERROR" or not isinstance(error.details, dict):
                raise
            batch_id, accepted, rejected = error.details["batchId"], 0, len(candidates)
        if accepted + rejected != len(candidates):
            counted = f"the server counts {accepted + rejected:,} records in a batch of {len(candidates):,}"
            raise ApiError("UNEXPECTED_ANSWER", f"{counted} ({batch_id})")
        if rejected:
            self._outcomes.reject(self._client.errors(batch_id).stream(), candidates, batch_id)
        self._journal.acknowledge(plan, batch_id, accepted, rejected)
        self._outcomes.sent(len(candidates), body.size)

    def _split(self, candidates: list[Candidate], error: ApiError) -> None:
        if len(candidates) > 1:
            half = len(candidates) // 2
            self._send(candidates[:half])
            self._send(candidates[half:])
            return
        errors = [FieldError(code=error.code, pointer="", message=error.message)]
        rejection = Rejection(index=0, errors=errors, payload=None)  # type: ignore[arg-type]
        self._outcomes.reject([rejection], candidates, None)
        self._outcomes.settle_rejected([candidates[0].position])


def body_of(raws: Sequence[bytes]) -> tuple[bytes, str]:
    """The body of a batch and its media type. Records with line breaks keep them in an array."""
    lines = b"\n".join(raws)
    # Looking into each record is faster than counting the line feeds of all.
    if b"\r" in lines or any(map(contains, raws, repeat(b"\n"))):
        return b"[%b]" % b",".join(raws), JSON
    return lines, NDJSON


def digest_of(body: Packed) -> str:
    """Identifies the body that was planned. Of the compressed bytes, because there are fewer of them."""
    return hashlib.sha256(body.content).hexdigest()


def _place(candidate: Candidate) -> str:
    return "{}:{}".format(*candidate.position)
