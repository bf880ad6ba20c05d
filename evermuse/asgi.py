"""The front: has a request checked by its head, gathers its body, runs Django's WSGI handler in a thread, sends the answer.

Why not WSGI to the socket: a server's WSGI side ends a cut-off chunked body silently, shows a chunked body to Django as
an empty one, and lets a client that stalls hold a thread, in mid-body or in the middle of an answer. Here the event loop
waits for clients, and threads only work. A body that was cut off is never handed on.
"""

import asyncio
import contextlib
import re
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from evermuse import garbage_collection, logs, serving
from evermuse.asgi_body import (
    AWAITED,
    COMPLETE,
    MAX_SENT_BYTES,
    REFUSED,
    TOO_LARGE,
    BodyAwaited,
    Disconnected,
    Message,
    Receive,
    Send,
    read_body,
)
from evermuse.errors import Refused
from evermuse.web import answers, places, pools
from evermuse.web.addresses import ClientCounts, client_of, counted_as
from evermuse.web.answer import Answer, refusal, refused_answer
from evermuse.web.bodies import BodyBudget, Holding
from evermuse.web.budget import FILE_ROOM_BYTES, ROOM_BYTES, SMALL_ROOM_BYTES, AnswerBudget, Owners, Room
from evermuse.web.environ import environ, with_body
from evermuse.web.exchange import Exchange
from evermuse.web.lifetime import serve_lifespan

log = logs.get(__name__)

serving.demand()
django = get_wsgi_application()
# A thread that comes back from the database waits for the interpreter's lock: at the default of 5 ms a turn, eight threads
# spend their time in this queue.
sys.setswitchinterval(0.0005)
# No "SELECT 1" before every request: the lookup of the key, which comes first, finds a dead connection and opens another.
connections.settings["default"]["CONN_HEALTH_CHECKS"] = False
garbage_collection.relax()

# Clients send head and body in two packets. A small body gets this long to follow, which saves a run of Django.
SMALL_BODY_BYTES, SMALL_BODY_SECONDS = 64 * 1024, 0.03

# What answers with records, errors, attachments or a workspace's catalog: up to `ingest.api.base.PAGE_BYTES`. All other answers are small.
_LARGE = re.compile(r"/api/v1/(?:records|key|ingest/batches/[^/]+/(?:errors|records|attachments))")

_bodies = BodyBudget(settings.EVERMUSE_BODY_BUDGET_BYTES)
# Small answers and pieces of files have budgets of their own: none waits for another kind.
_large_answers = AnswerBudget(settings.EVERMUSE_ANSWER_BUDGET_BYTES)
_small_answers = AnswerBudget(16 * SMALL_ROOM_BYTES)
_file_pieces = AnswerBudget(16 * FILE_ROOM_BYTES)
_owners = Owners()
_forwarded = ClientCounts(settings.EVERMUSE_CONNECTIONS_PER_ADDRESS)


def run(values: dict[str, Any]) -> Answer | None:
    """Run Django, in a thread. None: the request is sound as far as its head tells, and its body is wanted."""
    answer = Answer()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        answer.start = {"type": "http.response.start", "status": int(status.split(" ", 1)[0]), "headers": sent}

    try:
        response: Any = django(values, start_response)  # type: ignore[arg-type]
    except BodyAwaited:
        return None
    if getattr(response, "streaming", False) and values["REQUEST_METHOD"] != "HEAD":
        answer.steps, answer.close = iter(response), response.close
        answer.place = getattr(response, "place", None)
        return answer
    try:
        if not getattr(response, "streaming", False):
            answer.content = b"".join(response)
            if not any(name == b"content-length" for name, _ in answer.start["headers"]):
                answer.start["headers"].append((b"content-length", b"%d" % len(answer.content)))
    finally:
        response.close()
        if not getattr(response, "streaming", False):
            # The response is in a ring of references that only the collector of cycles frees: the content would stay in
            # memory after it was sent, or put in a file.
            response.content = b""
    return answer


CUT_OFF = (400, "INVALID_BODY", "The body was cut off before its end: nothing was stored.")
NO_ROOM = (503, "UNAVAILABLE", "Too many bodies are arriving at once. Send the request again.")
FAULT = (500, "INTERNAL_ERROR", "A fault of ours. Send the request again.")
TOO_MANY = (503, "UNAVAILABLE", "Too many requests are being handled for this address.")


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI entry that uvicorn runs, with `evermuse.web.connection` as its protocol."""
    if scope["type"] == "lifespan":
        await serve_lifespan(receive, send)
        return
    # Taken out, since each holds the other, and only the collector of cycles would free the two.
    exchange: Exchange = scope.pop("evermuse.exchange")
    peer = (scope.get("client") or ("", 0))[0]
    address = client_of(peer, [value for name, value in scope["headers"] if name == b"x-forwarded-for"])
    client = None if address == peer else counted_as(address)
    if client is not None and not _forwarded.enter(client):
        await _send_answer(refusal(*TOO_MANY, retry_after=2), None, exchange, send)
        return
    try:
        values = environ(scope, address)
        values["evermuse.arrived"] = exchange.arrived
        await _handle(values, exchange, receive, send)
    except Exception:
        log.exception("request.front_failed")
        if exchange.response_started:
            exchange.abort()
        else:
            await _send_answer(refusal(*FAULT), None, exchange, send)
    finally:
        if client is not None:
            _forwarded.leave(client)


async def _handle(values: dict[str, Any], exchange: Exchange, receive: Receive, send: Send) -> None:
    """One request, from its head to the end of its answer."""
    try:
        # Before anything is taken: a client may send requests and read no answer.
        await answers.drained(exchange)
    except answers.CutOff:
        exchange.abort()
        return
    pool = pools.pool_of(values)
    take_room = _rooms_for(values) if pool in {pools.reads, pools.files} else None
    room = await take_room() if take_room is not None else None
    holding: Holding | None = None
    try:
        body = exchange.take_whole()
        if body is None and (body := await _small_body(values, exchange)) is None:
            answer, holding = await _run_by_head(pool, values, receive)
        else:
            answer = await _run(pool, with_body(values, body, COMPLETE))
        del body
        _owners.learn(values)
        if holding is not None:
            holding.release()
        if room is not None and (answer.steps is not None or len(answer.content) <= answers.PIECE_BYTES):
            room.release()
        if answer.place is not None:
            answer = await _opened(answer, answer.place, exchange)
        await _send_answer(answer, room, exchange, send, pool, take_room)
    except answers.CutOff:
        exchange.abort()
    finally:
        if holding is not None:
            holding.release()
        if room is not None:
            room.release()


async def _opened(answer: Answer, place: places.Place, exchange: Exchange) -> Answer:
    """The answer, once it may begin; or the refusal in its stead. Raises CutOff."""
    is_open = False
    try:
        await places.opened(place, exchange, pools.places)
        is_open = True
    except Refused as refused:
        return refused_answer(refused)
    finally:
        if not is_open:
            _close_later(answer)
    return answer


def _close_later(answer: Answer) -> None:
    """Close an answer in a thread: it gives a place in Redis back. Not awaited, since a task may be at its end."""
    with contextlib.suppress(RuntimeError):  # the pool is stopped: so is the process
        asyncio.get_running_loop().run_in_executor(pools.places, answer.close)


def _rooms_for(values: dict[str, Any]) -> Callable[[], Awaitable[Room]]:
    """Takes room for an answer to this request, or for a step of it."""
    owner = _owners.of(values)
    if _LARGE.match(values["PATH_INFO"]):
        return lambda: _large_answers.room(owner, ROOM_BYTES)
    if values["PATH_INFO"].startswith(pools.FILES):
        return lambda: _file_pieces.room(owner, FILE_ROOM_BYTES)
    return lambda: _small_answers.room(owner, SMALL_ROOM_BYTES)


async def _run(pool: Executor, values: dict[str, Any]) -> Answer:
    answer = await asyncio.get_running_loop().run_in_executor(pool, run, values)
    assert answer is not None
    return answer


async def _small_body(values: dict[str, Any], exchange: Exchange) -> bytes | None:
    """A body that follows its head at once; None for one that is large, or late, or whose size is not known."""
    announced = values.get("CONTENT_LENGTH", "")
    if not announced.isdigit() or int(announced) > SMALL_BODY_BYTES or exchange.awaits_continue:
        return None
    return await exchange.whole_within(SMALL_BODY_SECONDS)


async def _run_by_head(pool: Executor, values: dict[str, Any], receive: Receive) -> tuple[Answer, Holding | None]:
    """Answer a request whose body has not come: from its head alone, if that is enough to refuse it."""
    announced = values.get("CONTENT_LENGTH", "")
    if announced.isdigit() and int(announced) > MAX_SENT_BYTES:
        return await _run(pool, with_body(values, b"", TOO_LARGE)), None
    by_head = await asyncio.get_running_loop().run_in_executor(pool, run, with_body(values, b"", AWAITED))
    if by_head is not None:
        return by_head, None
    holding = Holding(_bodies, str(values.get("evermuse.owner") or values["REMOTE_ADDR"]))
    try:
        body, ending = await read_body(
            receive,
            limit=MAX_SENT_BYTES,
            seconds=settings.EVERMUSE_BODY_TIMEOUT_SECONDS,
            holding=holding,
            announced=int(announced) if announced.isdigit() else None,
        )
        if ending == REFUSED:
            return refusal(*NO_ROOM, retry_after=2), holding
        return await _run(pool, with_body(values, body, ending)), holding
    except Disconnected:
        return refusal(*CUT_OFF), holding
    except BaseException:
        holding.release()
        raise


async def _send_answer(
    answer: Answer,
    room: Room | None,
    exchange: Exchange,
    send: Send,
    pool: Executor = pools.pages,
    take_room: Callable[[], Awaitable[Room]] | None = None,
) -> None:
    """Send an answer at the client's pace; drop the connection of one that reads too slowly."""
    # Where only the connection's end shows that a body was cut off, the connection serves nothing else.
    is_unbounded = not any(name == b"content-length" for name, _ in answer.start["headers"])
    if exchange.more_body or (answer.steps is not None and is_unbounded):
        answer.start["headers"].append((b"connection", b"close"))
    try:
        async with asyncio.timeout(settings.EVERMUSE_STREAM_SECONDS):
            await answers.send_drained(answer.start, exchange, send)
            if answer.steps is not None:
                await _stream(answer, exchange, send, pool, take_room)
            elif len(answer.content) > answers.PIECE_BYTES:
                await answers.deliver(answer.take(), room, exchange, send)
            last = {"type": "http.response.body", "body": answer.take(), "more_body": False}
            await answers.send_drained(last, exchange, send)
    except (answers.CutOff, TimeoutError):
        exchange.abort()
    except BaseException:
        if exchange.response_started:
            exchange.abort()
        raise
    finally:
        if answer.steps is not None:
            _close_later(answer)


async def _stream(
    answer: Answer,
    exchange: Exchange,
    send: Send,
    pool: Executor,
    take_room: Callable[[], Awaitable[Room]] | None,
) -> None:
    loop = asyncio.get_running_loop()

    async def step() -> bytes:
        return await loop.run_in_executor(pool, answer.step)

    await answers.stream(step, take_room, exchange, send)
