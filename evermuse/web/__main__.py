"""``python -m evermuse.web``: listens, and keeps ``--workers`` processes running `evermuse.asgi`.

uvicorn's parent pings its workers and replaces those that died or hang. All accept from one socket, so connections go
to workers that are free.
"""

import argparse
import os
import resource
from collections.abc import Callable

import uvicorn
from django.conf import settings

from evermuse import checks, serving

# A worker that does not answer the parent's ping for this long is killed and replaced.
HUNG_SECONDS = 20
# Running requests get this long when the process stops. Streams that continue are cut off.
STOP_SECONDS = 10


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m evermuse.web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    # Python would cut a larger port off.
    parser.add_argument("--port", type=_within(0, 65535), default=8000)
    parser.add_argument("--workers", type=_within(1, 1024), default=1)
    parser.add_argument("--backlog", type=int, default=2048)
    given = parser.parse_args()
    serving.require_settings_or_exit("web")
    # Here and not in each worker, so that each warning is logged once.
    serving.warn(checks.check_settings())
    _raise_open_files_limit()
    os.environ["EVERMUSE_WEB_PARENT"] = str(os.getpid())
    uvicorn.run(
        "evermuse.asgi:application",
        host=given.host,
        port=given.port,
        workers=given.workers,
        backlog=given.backlog,
        http="evermuse.web.connection:Connection",
        ws="none",
        loop="uvloop",
        lifespan="on",
        # `evermuse.settings` has set up the logs.
        log_config=None,
        log_level="info",
        access_log=False,
        server_header=False,
        # uvicorn must not trust X-Forwarded-For of every peer. `evermuse.web.addresses` reads it.
        proxy_headers=False,
        timeout_keep_alive=settings.EVERMUSE_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
    )


def _within(least: int, most: int) -> Callable[[str], int]:
    """A reader of a number for argparse, which reports its ArgumentTypeError in one line."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _raise_open_files_limit() -> None:
    """Raise the limit of open files as far as the system allows. The usual limit of 1,024 allows only a thousand
    connections.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
