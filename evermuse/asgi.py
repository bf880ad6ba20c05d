"""The ASGI application: checks a request by its head, reads its body, runs Django's WSGI handler in a thread, sends the
response.

A server's WSGI side is not used: it ends a cut-off chunked body silently, shows a chunked body to Django as an empty
one, and lets a client that stalls hold a thread. Here the event loop waits for clients, and threads only work. Django
never gets a body that was cut off.
"""

import asyncio
import contextlib
import re
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.db import connections

from evermuse import answer_deadline, ended_connections, garbage_collection, logs, serving
from evermuse import asgi_settings as asgi_settings
from evermuse.asgi_body import (
    AWAITED,
    COMPLETE,
    MAX_BODY_BYTES,
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
from evermuse.web.answer import CUT_OFF, FAULT, NO_ROOM, TOO_MANY, HttpAnswer, refusal, refused_answer
from evermuse.web.bodies import BodyBudget, Holding
from evermuse.web.budget import FILE_ROOM_BYTES, ROOM_BYTES, SMALL_ROOM_BYTES, AnswerBudget, Owners, Room
from evermuse.web.environ import environ, with_body
from evermuse.web.exchange import Exchange
from evermuse.web.lifetime import serve_lifespan
from evermuse.web.request import OWNER, DjangoHandler, learn

log = logs.get(__name__)

django.setup(set_prefix=False)
handler = DjangoHandler()
# All views and pages, which the first request would wait for.
import_module(settings.ROOT_URLCONF)
serving.refuse_old_database_or_exit()
# A thread that returns from the database waits for the interpreter's lock. With the default of 5 ms, eight threads
# spend their time in this queue.
sys.setswitchinterval(0.0005)
# Send no "SELECT 1" before every request. `run` closes connections that have ended, and the lookup of the key, which comes
# first, opens another if one ends just then.
connections.settings["default"]["CONN_HEALTH_CHECKS"] = False
garbage_collection.relax()
answer_deadline.start(settings.EVERMUSE_DATABASE_ANSWER_SECONDS)

# Clients send head and body in two packets. Waiting this long for a small body saves a run of Django.
SMALL_BODY_BYTES, SMALL_BODY_SECONDS = 64 * 1024, 0.03

# Responses of these paths may have up to `ingest.api.base.PAGE_BYTES`. All others are small.
_LARGE = re.compile(r"/api/v1/(?:records|key|ingest/batches/[^/]+/(?:errors|records|attachments))")

_bodies = BodyBudget(settings.EVERMUSE_BODY_BUDGET_BYTES)
# Small responses and pieces of files have budgets of their own, so they do not wait for large responses.
_large_answers = AnswerBudget(settings.EVERMUSE_ANSWER_BUDGET_BYTES)
_small_answers = AnswerBudget(16 * SMALL_ROOM_BYTES)
_file_pieces = AnswerBudget(16 * FILE_ROOM_BYTES)
_owners = Owners()
_forwarded = ClientCounts(settings.EVERMUSE_CONNECTIONS_PER_ADDRESS)


def run(values: dict[str, Any], body: bytes, ending: str) -> HttpAnswer | None:
    """Run Django in a thread. Returns None if the request's head is acceptable and its body is needed.

    A request runs again then. It finds what the first run has added to ``values``.
    """
    ended_connections.close()
    given = with_body(values, body, ending)
    answer = HttpAnswer()

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        answer.start = {"type": "http.response.start", "status": int(status.split(" ", 1)[0]), "headers": sent}

    try:
        response: Any = handler(given, start_response)  # type: ignore[arg-type]
    except BodyAwaited:
        return None
    finally:
        learn(values, given)
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
            # Break the response's reference cycle. Otherwise its content would stay in memory until the garbage
            # collector runs.
            response.content = b""
    return answer


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application that uvicorn runs with `evermuse.web.connection`."""
    if scope["type"] == "lifespan":
        await serve_lifespan(receive, send)
        return
    # Break the reference cycle between them, or only the garbage collector would free them.
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
    """Serve one request, up to the end of its response."""
    try:
        # Check this first: a client may send requests without reading responses.
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
            answer = await _run(pools.for_body(pool, values, len(body)), values, body, COMPLETE)
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


async def _opened(answer: HttpAnswer, place: places.AnswerPlace, exchange: Exchange) -> HttpAnswer:
    """Wait until the response may begin. Returns it, or a refusal. Raises CutOff."""
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


def _close_later(answer: HttpAnswer) -> None:
    """Close a response in a thread, because it releases a place in Redis. Not awaited, because the task may be ending."""
    with contextlib.suppress(RuntimeError):  # the pool is stopped, and so is the process
        asyncio.get_running_loop().run_in_executor(pools.places, answer.close)


def _rooms_for(values: dict[str, Any]) -> Callable[[], Awaitable[Room]]:
    """Reserve room for a response to this request, or for a step of it."""
    owner = _owners.of(values)
    if _LARGE.match(values["PATH_INFO"]):
        return lambda: _large_answers.room(owner, ROOM_BYTES)
    if values["PATH_INFO"].startswith(pools.FILES):
        return lambda: _file_pieces.room(owner, FILE_ROOM_BYTES)
    return lambda: _small_answers.room(owner, SMALL_ROOM_BYTES)


async def _run(pool: Executor, values: dict[str, Any], body: bytes, ending: str) -> HttpAnswer:
    answer = await asyncio.get_running_loop().run_in_executor(pool, run, values, body, ending)
    assert answer is not None
    return answer


async def _small_body(values: dict[str, Any], exchange: Exchange) -> bytes | None:
    """A small body that follows its head at once, or None."""
    announced = values.get("CONTENT_LENGTH", "")
    if not announced.isdigit() or int(announced) > SMALL_BODY_BYTES or exchange.awaits_continue:
        return None
    return await exchange.whole_within(SMALL_BODY_SECONDS)


async def _run_by_head(pool: Executor, values: dict[str, Any], receive: Receive) -> tuple[HttpAnswer, Holding | None]:
    """Run Django before the body has arrived, because the head may be enough to refuse the request."""
    announced = values.get("CONTENT_LENGTH", "")
    is_compressed = values.get("HTTP_CONTENT_ENCODING", "").strip().lower() == "gzip"
    limit = MAX_SENT_BYTES if is_compressed else MAX_BODY_BYTES
    if announced.isdigit() and int(announced) > limit:
        return await _run(pool, values, b"", TOO_LARGE), None
    by_head = await asyncio.get_running_loop().run_in_executor(pool, run, values, b"", AWAITED)
    if by_head is not None:
        return by_head, None
    holding = Holding(_bodies, str(values.get(OWNER) or values["REMOTE_ADDR"]))
    try:
        body, ending = await read_body(
            receive,
            limit=limit,
            seconds=settings.EVERMUSE_BODY_TIMEOUT_SECONDS,
            holding=holding,
            announced=int(announced) if announced.isdigit() else None,
        )
        if ending == REFUSED:
            return refusal(*NO_ROOM, retry_after=2), holding
        return await _run(pools.for_body(pool, values, len(body)), values, body, ending), holding
    except Disconnected:
        return refusal(*CUT_OFF), holding
    except BaseException:
        holding.release()
        raise


async def _send_answer(
    answer: HttpAnswer,
    room: Room | None,
    exchange: Exchange,
    send: Send,
    pool: Executor = pools.pages,
    take_room: Callable[[], Awaitable[Room]] | None = None,
) -> None:
    """Send a response at the client's pace. A client that reads too slowly is disconnected."""
    # If only the end of the connection shows that a body was cut off, the connection is not reused.
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
    answer: HttpAnswer,
    exchange: Exchange,
    send: Send,
    pool: Executor,
    take_room: Callable[[], Awaitable[Room]] | None,
) -> None:
    loop = asyncio.get_running_loop()

    async def step() -> bytes:
        return await loop.run_in_executor(pool, answer.step)

    await answers.stream(step, take_room, exchange, send)
