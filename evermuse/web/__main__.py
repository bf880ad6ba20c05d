"""``python -m evermuse.web``: listens, and keeps ``--workers`` processes serving `evermuse.asgi`.

uvicorn's parent pings its workers and replaces one that died or hangs. All of them accept from one socket, so that
connections go to whoever is free.
"""

import argparse
import os
import resource

import uvicorn

from evermuse import settings

# A worker that does not answer the parent's ping for this long is killed and replaced.
HUNG_SECONDS = 20
# Requests in progress get this long at a stop; what still streams then is cut off.
STOP_SECONDS = 10


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m evermuse.web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--backlog", type=int, default=2048)
    given = parser.parse_args()
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
        # Believing X-Forwarded-For from anybody is not ours; `evermuse.web.addresses` reads it.
        proxy_headers=False,
        timeout_keep_alive=settings.EVERMUSE_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_worker_healthcheck=HUNG_SECONDS,
    )


def _raise_open_files_limit() -> None:
    """As many open files as the system allows: the usual soft limit of 1,024 is a thousand connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
