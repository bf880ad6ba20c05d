"""Big bodies are heavy work for the pool of POSTs."""

from typing import Any

import pytest

from evermuse.web import pools
from evermuse.web.fair_pool import Share

POST: dict[str, Any] = {
    "PATH_INFO": "/api/v1/ingest",
    "REQUEST_METHOD": "POST",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_X_API_KEY": "k",
}


@pytest.mark.parametrize(
    ("size", "encoding", "is_heavy"),
    [(1024, "", False), (1_048_576, "", False), (1_048_577, "", True), (900, "gzip", False), (5000, "gzip", True)],
)
def test_body_is_heavy_by_the_bytes_that_it_may_become(size: int, encoding: str, is_heavy: bool) -> None:
    values = POST | ({"HTTP_CONTENT_ENCODING": encoding} if encoding else {})

    pool = pools.for_body(pools.pool_of(values), values, size)

    assert isinstance(pool, Share)
    assert pool.is_heavy is is_heavy


def test_pages_have_no_heavy_work() -> None:
    values = POST | {"PATH_INFO": "/admin/login/"}

    assert pools.for_body(pools.pool_of(values), values, 5_000_000) is pools.pages
