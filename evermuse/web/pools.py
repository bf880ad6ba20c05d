"""Threads by kind of work: reads, pages with their password hashing, and probes never hold up a POST.

A thread keeps one database connection: a process has at most EVERMUSE_WEB_THREADS + EVERMUSE_WEB_READ_THREADS +
EVERMUSE_WEB_PAGE_THREADS of them.
"""

from concurrent.futures import ThreadPoolExecutor

from django.conf import settings

API = "/api/v1/"
# Below the API's prefix, but asked for by people, and made at some cost.
_PAGES = ("/api/v1/openapi.json", "/api/v1/docs", "/api/v1/schemas/")

posts = ThreadPoolExecutor(settings.EVERMUSE_WEB_THREADS, thread_name_prefix="web")
reads = ThreadPoolExecutor(settings.EVERMUSE_WEB_READ_THREADS, thread_name_prefix="web-read")
pages = ThreadPoolExecutor(settings.EVERMUSE_WEB_PAGE_THREADS, thread_name_prefix="web-page")
_probes = ThreadPoolExecutor(1, thread_name_prefix="web-probe")


def pool_of(method: str, path: str) -> ThreadPoolExecutor:
    """Where a request runs."""
    if path.startswith("/healthz"):
        return _probes
    if method not in {"GET", "HEAD"}:
        return pages if path.startswith("/admin") else posts
    if path.startswith(API) and not path.startswith(_PAGES):
        return reads
    return pages


def stop() -> None:
    """Take nothing more. Threads that work go on."""
    for pool in (posts, reads, pages, _probes):
        pool.shutdown(wait=False, cancel_futures=True)
