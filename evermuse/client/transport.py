"""Turns calls into requests, and responses into answers or errors. Both clients use it."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import httpx
import msgspec

from evermuse.client import rows
from evermuse.client.answers import Accepted
from evermuse.client.endpoints import NDJSON, Call, Listing
from evermuse.client.errors import ApiError, EvermuseError, Unreachable

T = TypeVar("T")

# Seconds. The server may need some time for 5 MB. A stream may pause while the server waits for the object store.
TIMEOUT = httpx.Timeout(60.0, connect=10.0, pool=None)
CONNECTIONS = httpx.Limits(max_connections=None, max_keepalive_connections=32)


class _Refusal(msgspec.Struct):
    error: str
    message: str
    details: Any = None
    retryAfter: float | None = None


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def _version() -> str:
    try:
        return version("evermuse-ingest")
    except PackageNotFoundError:
        return "checkout"


def headers(key: str) -> dict[str, str]:
    """The headers of every request. Raises ValueError for a text that is no key. It does not show the text."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the API key contains characters that no key has: copy it again")
    return {"x-api-key": key, "User-Agent": f"evermuse-client/{_version()}"}


def base_url(url: str) -> str:
    """The server's address without a trailing slash. Raises ValueError for schemes other than http and https."""
    parsed = httpx.URL(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"the server's address must begin with http:// or https://, not {url!r}")
    return url.rstrip("/")


def request_of(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """The request of a call."""
    return client.build_request(
        call.method, call.path, params=dict(call.query) or None, headers=dict(call.headers), content=call.content
    )


def stream_request(client: httpx.Client | httpx.AsyncClient, listing: Listing[Any]) -> httpx.Request:
    """The request for a list as one stream."""
    return client.build_request("GET", listing.path, params=dict(listing.query) or None, headers={"Accept": NDJSON})


def unreachable(error: httpx.HTTPError | httpx.InvalidURL) -> Unreachable:
    """The error of a request without an answer."""
    what = str(error) or type(error).__name__
    return Unreachable(f"no answer from the server: {what}")


def answer_of(call: Call[T], response: httpx.Response) -> T:
    """The answer in a response that was read. Raises ApiError unless the status is 2xx."""
    raise_for_status(response)
    try:
        found = rows.decode(response.content, call.answer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _strange(response, str(error)) from None
    if isinstance(found, Accepted):
        found.is_replay = response.headers.get("Idempotent-Replayed") == "true"
    return found


def page_of(listing: Listing[T], response: httpx.Response) -> tuple[list[T], str | None]:
    """The rows of a response that was read, and the next cursor."""
    raise_for_status(response)
    try:
        return rows.decode_page(response.content, listing.name, listing.row)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _strange(response, str(error)) from None


def row_of(listing: Listing[T], line: bytes) -> T:
    """One line of a stream."""
    try:
        return rows.decode(line, listing.row)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ApiError(
            "UNEXPECTED_ANSWER", f"a line of the stream does not have the documented form: {error}"
        ) from None


def raise_for_status(response: httpx.Response) -> None:
    """Raise ApiError unless the status is 2xx. The response must have been read."""
    if response.is_success:
        return
    try:
        refusal = _decode_refusal(response.content)
    except msgspec.MsgspecError:
        raise _strange(response, _not_ours(response)) from None
    raise ApiError(
        refusal.error,
        refusal.message,
        details=refusal.details,
        retry_after=max(refusal.retryAfter, 0) if refusal.retryAfter is not None else _retry_after(response),
        status=response.status_code,
    )


def _not_ours(response: httpx.Response) -> str:
    if response.has_redirect_location:
        return f"it redirects to {response.headers['Location']}: use the address of the server itself"
    return "the answer is not from Evermuse: check the server's address, and the proxies on the way"


def _retry_after(response: httpx.Response) -> float | None:
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isdigit() else None


def _strange(response: httpx.Response, why: str) -> EvermuseError:
    message = f"HTTP {response.status_code} from {response.request.url.host}: {why}"
    return ApiError("UNEXPECTED_ANSWER", message, status=response.status_code, retry_after=_retry_after(response))
