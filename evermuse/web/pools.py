"""Threads by kind of work, so that reads, pages with password hashing, and probes never delay a POST.

API keys share the threads of POSTs, so that one key's slow bodies do not delay others.

Each thread keeps one database connection: a process has at most EVERMUSE_WEB_THREADS + EVERMUSE_WEB_READ_THREADS +
EVERMUSE_WEB_PAGE_THREADS of them.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import blake2b
from typing import Any

from django.conf import settings

from evermuse.web.fair_pool import FairPool, Share

API = "/api/v1/"
FILES = "/files"
# Pages for people below the API's prefix, which take longer.
_PAGES = ("/api/v1/openapi.json", "/api/v1/docs", "/api/v1/schemas/")

# A longer body is heavy: validating it may take half a second. Few are validated at once, so that small bodies are not delayed.
BIG_BODY_BYTES = 1024 * 1024
BIG_BODIES_AT_ONCE = 2
# deflate expands a body at most this many times.
_GZIP_RATIO = 1032

posts = FairPool(settings.EVERMUSE_WEB_THREADS, heavy=BIG_BODIES_AT_ONCE, thread_name_prefix="web")
reads = ThreadPoolExecutor(settings.EVERMUSE_WEB_READ_THREADS, thread_name_prefix="web-read")
pages = ThreadPoolExecutor(settings.EVERMUSE_WEB_PAGE_THREADS, thread_name_prefix="web-page")
# For EVERMUSE_DOWNLOAD_URLS=web: these read stored files from the object store and need no database.
files = ThreadPoolExecutor(4, thread_name_prefix="web-file")
# These acquire and release places of streams, by short calls to Redis.
places = ThreadPoolExecutor(1, thread_name_prefix="web-place")
_probes = ThreadPoolExecutor(1, thread_name_prefix="web-probe")


def pool_of(values: dict[str, Any]) -> Executor:
    """The pool that runs a request. ``values``: its WSGI environ."""
    path = values["PATH_INFO"]
    if path.startswith("/healthz"):
        return _probes
    if path.startswith(FILES):
        return files
    if values["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return pages if path.startswith("/admin") else posts.of(_owner(values))
    if path.startswith(API) and not path.startswith(_PAGES):
        return reads
    return pages


def for_body(pool: Executor, values: dict[str, Any], size: int) -> Executor:
    """The pool for a request whose body has arrived. ``size``: bytes as sent."""
    ratio = _GZIP_RATIO if values.get("HTTP_CONTENT_ENCODING") else 1
    return pool.heavy() if isinstance(pool, Share) and size * ratio > BIG_BODY_BYTES else pool


def _owner(values: dict[str, Any]) -> str:
    """The owner of a request before its key is looked up: the key as sent, or the client's address."""
    key = values.get("HTTP_X_API_KEY")
    return blake2b(key.encode(), digest_size=16).hexdigest() if key else f"address {values['REMOTE_ADDR']}"


def stop() -> None:
    """Accept no more work. Running threads continue."""
    posts.shutdown(wait=False, cancel_futures=True)
    for pool in (reads, pages, files, places, _probes):
        pool.shutdown(wait=False, cancel_futures=True)
