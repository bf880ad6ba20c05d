"""Logs and ledgers reveal neither secrets in URLs nor addresses and ports of internal networks."""

import logging
import socket
from collections.abc import Callable, Iterator

import pytest
from pytest_django.fixtures import Settings

from attachments.download_failures import DownloadFailed, DownloadFailure
from attachments.fetch import dial, download
from attachments.fetch.watch import watchdog
from evermuse import logs
from tests.attachments.journey import file, make_due, run, send
from tests.attachments.test_framing import READ, REFUSED
from tests.attachments.vendor import Exchange, Vendor
from tests.http_client import ApiClient

SECRET = "TOPSECRET"
QUERY = f"?X-Amz-Signature={SECRET}&é={SECRET}"
ASKED = QUERY.replace("é", "%C3%A9")


@pytest.fixture
def everything_logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Returns all that is logged at level DEBUG."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    logs.configure(level="DEBUG", as_json=True)
    try:
        yield lambda: "".join(capsys.readouterr())
    finally:
        root.handlers, root.level = before, level


def statuses() -> dict[str, Callable[[Exchange], None]]:
    lines = [
        "204 No Content", "206 Partial Content", "301 Moved", "304 Not Modified", "400 Bad", "401 No", "403 No", "404 No",
        "408 Late", "429 Slow", "500 Oops", "503 Later",
    ]  # fmt: skip
    return {line: lambda x, line=line: x.answer(b"no", status=line) for line in lines}  # type: ignore[misc]


@pytest.mark.usefixtures("empty_store")
def test_no_failure_reveals_the_secret_or_the_address_of_its_url(
    api: ApiClient, vendor: Vendor, everything_logged: Callable[[], str]
) -> None:
    kinds: dict[str, Callable[[Exchange], None]] = statuses()
    for name in ("a line without a colon", "a blank before the colon", "103 Early Hints"):
        kinds[name] = lambda x, name=name: x.send(READ[name])  # type: ignore[misc]
    for name, (raw, _) in REFUSED.items():
        if len(raw) < 2000:
            kinds[name] = lambda x, raw=raw: x.send(raw)  # type: ignore[misc]
    kinds["reset"] = lambda x: x.reset()
    kinds["closed"] = lambda x: None
    kinds["a page"] = lambda x: x.answer(b"<html>", Content_Type="text/html")
    kinds["br"] = lambda x: x.answer(b"x", Content_Encoding="br")
    kinds["redirected away"] = lambda x: x.answer(status="302 F", Location=f"http://10.0.0.1/{QUERY}")
    kinds["redirected nowhere"] = lambda x: x.answer(status="302 F", Location=f"gopher://x/{QUERY}")
    for number, behave in enumerate(kinds.values()):
        vendor.on(f"/{number}{ASKED}", behave)
    urls = [vendor.url(f"/{number}{QUERY}") for number in range(len(kinds))]
    urls += [f"http://nothing.invalid/{QUERY}", f"http://127.0.0.1:1/{QUERY}", f"http://10.0.0.1/{QUERY}"]
    urls.append(f"https://127.0.0.1:{vendor.port}/{QUERY}")
    batches = [send(api, *(file(url) for url in urls[at : at + 10])) for at in range(0, len(urls), 10)]
    for batch_id in batches:
        run(api, batch_id)
        make_due()
    entries = [entry for batch_id in batches for entry in api.rows(batch_id, "attachments")]
    assert len({attempt["code"] for entry in entries for attempt in entry["attempts"]}) > 15
    said = everything_logged()
    assert "attachment.failed" in said
    # Without the instants: the digits of the port may be among theirs.
    told = str(
        [
            (entry["error"], [(attempt["code"], attempt["message"]) for attempt in entry["attempts"]])
            for entry in entries
        ]
    )
    assert SECRET not in said + told
    assert all(address not in told for address in ("10.0.0.1", "127.0.0.1", str(vendor.port)))


def failure_of(url: str) -> DownloadFailure:
    with (
        watchdog.watching(seconds=20) as transfer,
        pytest.raises(DownloadFailed) as caught,
        download.opened(url, transfer),
    ):
        pass
    return caught.value.failure


def test_closed_port_and_filtered_port_give_the_same_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        port = silent.getsockname()[1]
        # A full backlog drops connections, as a filter does.
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        filtered = failure_of(f"http://127.0.0.1:{port}/")
        for one in waiting:
            one.close()
    assert filtered == failure_of("http://127.0.0.1:1/")
    assert filtered.code == "CONNECT_FAILED"


@pytest.mark.django_db
def test_failure_does_not_reveal_which_private_address_a_name_has(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = ()
    failures = []
    for address in ("10.11.12.13", "192.168.1.1", "127.0.0.1"):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 22))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, found=found, **_: found)
        failures.append(failure_of("http://internal.example:22/"))
    assert len({*failures}) == 1
    assert failures[0].code == "BLOCKED_ADDRESS"
