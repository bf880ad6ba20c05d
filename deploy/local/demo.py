"""`make demo`: sends sample data to a running stack as a client would, and shows the results."""

import contextlib
import gzip
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import requests
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from deploy.local import loopback
from deploy.local.demo_data import Sending, contents, sendings
from deploy.local.leftovers import is_locked
from deploy.local.services import describe
from deploy.local.state import Home
from evermuse.env import home as evermuse_home

ROOT = Path(__file__).resolve().parent.parent.parent
INGEST = "/api/v1/ingest"
SETTLED = {"COMPLETE", "FAILED"}
LANDED = SETTLED | {"LANDED", "PROCESSING"}
POLL_SECONDS, PATIENCE_SECONDS = 0.5, 600.0
STATUS_STYLES = {"COMPLETE": "green", "FAILED": "red"}


class DemoFailed(Exception):
    """The demo cannot continue. The message says why and what to do."""


class Files(BaseHTTPRequestHandler):
    """A vendor's file server. Unknown paths are answered with 404."""

    known: ClassVar[dict[str, tuple[str, bytes]]] = {}

    def do_GET(self) -> None:
        """Send a file."""
        kind, content = self.known.get(self.path.lstrip("/"), ("text/plain", b"no such file\n"))
        self.send_response(200 if self.path.lstrip("/") in self.known else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing, because the screen shows the progress."""


@dataclass
class Api:
    """A client of the running stack, with the demo's key."""

    url: str
    key: str
    waited: int = 0
    session: requests.Session = field(default_factory=loopback.session)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request. A request that exceeds the rate limit is repeated when the response says so."""
        headers = {"x-api-key": self.key, **options.pop("headers", {})}
        while True:
            try:
                answer = self.session.request(method, self.url + path, headers=headers, timeout=30, **options)
            except requests.RequestException as error:
                raise DemoFailed(f"the stack does not answer at {self.url}: {type(error).__name__}") from None
            if answer.status_code not in {429, 503}:
                return answer
            self.waited += 1
            time.sleep(float(answer.json().get("retryAfter", 1)))

    def send(self, sending: Sending) -> str:
        """POST a batch, and return its id, also if all its records were rejected."""
        headers = {"Content-Type": "application/x-ndjson" if sending.is_ndjson else "application/json"}
        if sending.is_gzipped:
            headers["Content-Encoding"] = "gzip"
        body = gzip.compress(sending.body) if sending.is_gzipped else sending.body
        answer = self.call("POST", INGEST, data=body, headers=headers)
        told = answer.json()
        if answer.status_code == 400 and "batchId" in told.get("details", {}):
            told = told["details"]
        elif answer.status_code != 202:
            raise DemoFailed(f"{sending.what}: HTTP {answer.status_code}: {answer.text}")
        return str(told["batchId"])

    def batches(self, count: int) -> dict[str, dict[str, Any]]:
        """The newest batches by id."""
        rows = self.call("GET", f"{INGEST}/batches?limit={count}").json()["batches"]
        return {row["batchId"]: row for row in rows}

    def outcomes(self, batch_id: str) -> Counter[str]:
        """The number of a batch's records by outcome."""
        rows = self.call("GET", f"{INGEST}/batches/{batch_id}/records?limit=100").json()["records"]
        return Counter(row["outcome"] for row in rows)


@contextlib.contextmanager
def _downloads_allowed(home: Home, endpoint: str) -> Iterator[None]:
    """Let the workers download from this process's file server, and from nothing else on this host, within the block.

    The command ends when its input closes, so also when this process is killed.
    """
    command = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "allowdownloads", endpoint],
        env={**os.environ, "EVERMUSE_HOME": str(home.root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert command.stdin and command.stdout
    try:
        if not command.stdout.readline():
            raise DemoFailed("manage.py allowdownloads failed: see its lines above")
        yield
    finally:
        command.stdin.close()
        command.wait(30)
        command.stdout.close()


def main() -> int:
    """Send, watch and report. Returns the exit code."""
    console = Console()
    home = Home(evermuse_home())
    try:
        if not is_locked(home) or not home.key_file.exists():
            raise DemoFailed(f"no stack is running in EVERMUSE_HOME={home.root}: start one with `make run`")
        api = Api(describe(home.root)["web"], home.key_file.read_text().strip())
        Files.known = contents()
        with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            base = f"http://127.0.0.1:{server.server_port}"
            urls = {name: f"{base}/{name}" for name in (*Files.known, "deleted-by-the-vendor.wav")}
            with _downloads_allowed(home, f"127.0.0.1:{server.server_port}"):
                return _run(console, api, sendings(urls, run=f"{time.time():.0f}"))
    except DemoFailed as error:
        console.print(f"make demo: {error}", style="red", markup=False, highlight=False)
        return 1


def _run(console: Console, api: Api, planned: list[Sending]) -> int:
    columns = (SpinnerColumn(), TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    ids: list[str] = []
    with Progress(*columns, console=console) as progress:
        sent = progress.add_task("batches sent", total=len(planned))
        for sending in planned:
            if sending.is_again:
                _await(api, ids, LANDED)
            ids.append(api.send(sending))
            progress.advance(sent)
        settled = progress.add_task("batches settled", total=len(planned))
        files = progress.add_task("attachments settled", total=None)

        def show(found: list[dict[str, Any]]) -> None:
            total = sum(row.get("attachmentDownloadTotal", 0) for row in found)
            got = sum(row.get(f"attachmentDownload{how}", 0) for row in found for how in ("Complete", "Failed"))
            progress.update(settled, completed=sum(row["status"] in SETTLED for row in found))
            progress.update(files, completed=got, total=total)

        rows = _await(api, ids, SETTLED, show)
    console.print(_table(api, planned, rows))
    if api.waited:
        console.print(
            f"Requests that the rate limit refused, and that were sent again after the time in the answer: {api.waited}."
        )
    console.print(f"Look around: {api.url}/admin/", highlight=False)
    return 0


def _await(
    api: Api, ids: list[str], states: set[str], show: Callable[[list[dict[str, Any]]], None] = lambda found: None
) -> list[dict[str, Any]]:
    """Poll until each of the batches is in one of the states. Returns them in the order of their ids."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        rows = api.batches(min(len(ids) + 50, 100))
        found = [rows[batch_id] for batch_id in ids if batch_id in rows]
        show(found)
        missing = len(ids) - sum(row["status"] in states for row in found)
        if not missing:
            return found
        if time.monotonic() > ends_at:
            raise DemoFailed(f"{missing} batches wait for more than {PATIENCE_SECONDS:.0f} s: look at the stack's log")
        time.sleep(POLL_SECONDS)


def _table(api: Api, planned: list[Sending], rows: list[dict[str, Any]]) -> Table:
    table = Table(title="What became of it", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("batch", "what was sent", "status", "outcomes of its records", "files"):
        table.add_column(name, no_wrap=True)
    for sending, row in zip(planned, rows, strict=True):
        batch_id = row["batchId"]
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(api.outcomes(batch_id).items()))
        files = ""
        if "attachmentDownloadTotal" in row:
            files = f"{row['attachmentDownloadComplete']} of {row['attachmentDownloadTotal']}"
        status = f"[{STATUS_STYLES.get(row['status'], 'yellow')}]{row['status']}"
        table.add_row(f"…{batch_id[-6:]}", sending.what, status, outcomes, files)
    return table


if __name__ == "__main__":
    sys.exit(main())
