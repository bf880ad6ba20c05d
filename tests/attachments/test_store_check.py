"""The check of an object store reports precisely what is missing, and leaves nothing in it."""

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from attachments import store_start
from attachments.fetch import store_check
from deploy.local.embedded import Servers
from deploy.local.state import ROOT_ACCESS_KEY
from evermuse.checks import check_settings
from lake import object_store, store_credentials

ROOT = Path(__file__).resolve().parent.parent.parent
ABILITIES = (
    "listing", "put", "ranged get", "presigned get", "upload in parts", "listing of open uploads", "presigned put", "delete",
)  # fmt: skip


@pytest.fixture(autouse=True)
def forget_clients(servers: Servers) -> Iterator[None]:
    """Settings of the store are read when a client is made."""
    object_store.ensure_bucket()
    yield
    for one in (object_store.client, object_store.public_client, store_credentials.provider):
        one.cache_clear()


def everything() -> set[str]:
    client, bucket = object_store.new_client(), os.environ["MINIO_BUCKET"]
    objects = {str(one.object_name) for one in client.list_objects(bucket, recursive=True)}
    return objects | {f"upload of {key}" for key, _ in client.open_uploads(bucket, "")}


def test_store_of_the_stack_can_do_everything_and_nothing_is_left_in_it() -> None:
    before = everything()
    report = store_check.run()
    assert (report.status, report.proven, report.faults) == ("ok", ABILITIES, ())
    assert everything() == before


@pytest.mark.parametrize(
    ("setting", "value", "named", "problem"),
    [
        (
            "MINIO_ACCESS_KEY",
            "nobody",
            "MINIO_ACCESS_KEY",
            "MINIO_ACCESS_KEY (6 characters: letters): the store does not know",
        ),
        (
            "MINIO_SECRET_KEY",
            "wrong-secret",
            "MINIO_SECRET_KEY",
            "MINIO_SECRET_KEY (12 characters: letters and others): it is not the secret",
        ),
        (
            "MINIO_BUCKET",
            "no-such-bucket",
            "MINIO_ACCESS_KEY",
            "MINIO_BUCKET (14 characters: letters and others), or there is no such bucket",
        ),
        (
            "MINIO_BUCKET",
            "Bad_Bucket",
            "MINIO_BUCKET",
            "MINIO_BUCKET (10 characters: letters and others) is not the name of a bucket: 3 to 63",
        ),
        ("MINIO_SECRET_KEY", "", "MINIO_SECRET_KEY", "MINIO_SECRET_KEY is not set"),
        ("MINIO_SECURE", True, "MINIO_SECURE", "MINIO_SECURE=true: there is no TLS connection"),
    ],
)
def test_wrong_setting_is_the_only_fault_and_is_named_with_its_fix(
    settings: Any, setting: str, value: Any, named: str, problem: str
) -> None:
    setattr(settings, setting, value)
    store_credentials.provider.cache_clear()
    report = store_check.run()
    [fault] = report.faults
    assert (report.status, report.proven, fault.ability, fault.setting) == ("faulty", (), "listing", named)
    assert problem in fault.problem
    assert fault.fix
    assert not value or str(value) not in f"{fault.problem} {fault.fix}" or value is True


def test_bucket_that_is_missing_is_named_to_a_key_that_may_see_it(settings: Any, servers: Servers) -> None:
    settings.MINIO_BUCKET = "no-such-bucket"
    settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY = root_of(servers)
    [fault] = store_check.run().faults
    assert fault.setting == "MINIO_BUCKET"
    assert "the store has no such bucket" in fault.problem and "manage.py bootstrap" in fault.fix


def root_of(servers: Servers) -> tuple[str, str]:
    return ROOT_ACCESS_KEY, servers.home.secrets()["store_root"]


@pytest.mark.parametrize(
    ("setting", "named"), [("MINIO_UPLOAD_ACCESS_KEY", "access key"), ("MINIO_UPLOAD_SECRET_KEY", "secret of")]
)
def test_wrong_keys_for_uploads_are_named_and_the_rest_is_proven(settings: Any, setting: str, named: str) -> None:
    before = everything()
    setattr(settings, setting, "wrong")
    report = store_check.run()
    [fault] = report.faults
    assert (fault.ability, fault.setting) == ("presigned put", setting)
    assert named in fault.problem
    assert set(report.proven) == {*ABILITIES} - {"presigned put"}
    assert everything() == before


@pytest.mark.parametrize(
    ("addressing", "endpoint", "shape", "reason", "fix"),
    [
        ("AUTO", "127.0.0.1:1", "11 characters: digits and others", "it takes no connection", "start the store, or correct"),
        ("AUTO", "nowhere.invalid", "15 characters: letters and others", object_store.UNKNOWN_HOST, "correct MINIO_ENDPOINT"),
        ("VIRTUAL", "localhost.invalid", "17 characters: letters and others", object_store.UNKNOWN_HOST, "MINIO_ADDRESSING=path"),
    ],
)  # fmt: skip
def test_store_that_cannot_be_reached_is_away_and_the_setting_that_says_where_it_is_is_named(
    settings: Any, addressing: str, endpoint: str, shape: str, reason: str, fix: str
) -> None:
    settings.MINIO_ADDRESSING, settings.MINIO_ENDPOINT = addressing, endpoint
    report = store_check.run()
    assert (report.status, report.faults) == ("away", ())
    assert report.error.startswith(f"MINIO_ENDPOINT ({shape}): {reason}: ") and fix in report.error
    assert endpoint not in report.error


@pytest.mark.parametrize(
    ("kind", "fix"),
    [("ENVIRONMENT", "AWS_ACCESS_KEY_ID"), ("FILE", "~/.aws/credentials"), ("ROLE", "MINIO_ROLE_ENDPOINT")],
)
def test_source_without_keys_is_named_with_what_helps(
    settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, fix: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    settings.MINIO_CREDENTIALS, settings.MINIO_ROLE_ENDPOINT = kind, "http://127.0.0.1:1"
    [fault] = store_check.run().faults
    assert fault.setting == "MINIO_CREDENTIALS" and fix in fault.fix


Answer = tuple[int, bytes] | None
NOT_IMPLEMENTED = b"<Error><Code>NotImplemented</Code><Message>no</Message></Error>"


@pytest.fixture
def lesser_store(settings: Any) -> Iterator[Callable[[Callable[[str, str, dict[str, str]], Answer]], None]]:
    """The store behind a proxy that answers some requests itself, or drops headers of a request."""
    inner = settings.MINIO_ENDPOINT
    hooks: list[Callable[[str, str, dict[str, str]], Answer]] = []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            if (own := hooks[0](self.command, self.path, headers)) is not None:
                status, content, kind = own[0], own[1], "application/xml"
                more: dict[str, str] = {}
            else:
                made = urllib.request.Request(
                    f"http://{inner}{self.path}", data=body or None, headers=headers, method=self.command
                )
                try:
                    answer = urllib.request.urlopen(made)
                except urllib.error.HTTPError as error:
                    answer = error
                status, content, kind = answer.status, answer.read(), answer.headers.get("Content-Type") or "text/plain"
                names = ("ETag", "Content-Range", "Content-Disposition", "Last-Modified")
                more = {name: answer.headers[name] for name in names if name in answer.headers}
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.MINIO_ENDPOINT = f"127.0.0.1:{server.server_port}"
        yield hooks.append
        server.shutdown()


def no_listing_of_uploads(method: str, path: str, headers: dict[str, str]) -> Answer:
    return (501, NOT_IMPLEMENTED) if method == "GET" and "uploads=" in path and "list-type" not in path else None


def no_parts(method: str, path: str, headers: dict[str, str]) -> Answer:
    return (501, NOT_IMPLEMENTED) if method == "POST" and "uploads=" in path else None


def no_ranges(method: str, path: str, headers: dict[str, str]) -> Answer:
    # The signature covers the header's name, so the request is answered here.
    is_range = "Range" in headers and path.endswith("/put")
    return (200, store_check.CONTENT) if is_range and headers["Range"] != "bytes=0-" else None


def no_presigned_gets(method: str, path: str, headers: dict[str, str]) -> Answer:
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    return (403, denied) if method == "GET" and "X-Amz-Signature" in path else None


def no_puts(method: str, path: str, headers: dict[str, str]) -> Answer:
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    return (403, denied) if method == "PUT" and path.endswith("/put") else None


@pytest.mark.parametrize(
    ("hook", "missing", "untried"),
    [
        (no_listing_of_uploads, "listing of open uploads", set()),
        (no_parts, "upload in parts", {"listing of open uploads"}),
        (no_ranges, "ranged get", set()),
        (no_presigned_gets, "presigned get", set()),
        (no_puts, "put", {"ranged get", "presigned get"}),
    ],
)
def test_each_missing_ability_is_named_and_the_others_are_proven(
    lesser_store: Any, hook: Any, missing: str, untried: set[str]
) -> None:
    lesser_store(hook)
    report = store_check.run()
    assert [fault.ability for fault in report.faults] == [missing], report
    assert set(report.proven) == {*ABILITIES} - {missing} - untried
    assert report.faults[0].fix


def test_each_fault_is_one_line_of_the_log(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.MINIO_UPLOAD_SECRET_KEY = "wrong"
    store_start.write(store_check.run())
    [line] = [str(one.msg) for one in caplog.records if "store.fault" in str(one.msg)]
    for part in ("presigned put", "MINIO_UPLOAD_SECRET_KEY (5 characters: letters)", "set MINIO_UPLOAD_SECRET_KEY to"):
        assert part in line


def test_command_prints_its_report_alone_as_json(settings: Any) -> None:
    out = StringIO()
    call_command("checkstore", stdout=out)
    assert json.loads(out.getvalue())["status"] == "ok"
    settings.MINIO_BUCKET = "Bad_Bucket"
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("checkstore", stdout=out)
    assert ended.value.code == 1
    found = json.loads(out.getvalue())
    assert (found["status"], found["faults"][0]["setting"]) == ("faulty", "MINIO_BUCKET")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("MINIO_BUCKET", "Bad_Bucket"),
        ("MINIO_BUCKET", "no-such-bucket"),
        ("MINIO_SECRET_KEY", "wrong"),
        ("MINIO_ACCESS_KEY", ""),
    ],
)
def test_web_is_ready_whatever_is_wrong_with_the_store(
    db: None, client: Client, settings: Any, setting: str, value: str
) -> None:
    setattr(settings, setting, value)
    object_store.client.cache_clear()
    store_credentials.provider.cache_clear()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["objectStore"]) == (200, "away")
    assert client.get("/readyz?role=landing").status_code == 503


@pytest.mark.parametrize(
    ("queue", "environment", "setting"),
    [
        ("landing", {"MINIO_BUCKET": "Bad_Bucket"}, "MINIO_BUCKET (10 characters: letters and others)"),
        ("attachments", {"MINIO_SECRET_KEY": "wrong-secret"}, "MINIO_SECRET_KEY (12 characters: letters and others)"),
    ],
)
def test_worker_starts_and_logs_what_is_wrong_with_the_store(
    queue: str, environment: dict[str, str], setting: str
) -> None:
    words = ("-m", "celery", "-A", "evermuse", "worker", "-P", "threads", "-c", "1", "-Q", queue, "--without-mingle")
    worker = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )
    try:
        assert worker.stderr is not None
        timer = threading.Timer(120, worker.kill)
        timer.start()
        line = next((line for line in worker.stderr if "store.fault" in line), "")
        timer.cancel()
        assert setting in line
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.communicate()


@pytest.mark.parametrize("root", [True, False])
def test_bootstrap_refuses_a_bad_name_of_the_bucket_in_one_line(
    db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    settings.MINIO_BUCKET = "Bad_Bucket"
    object_store.client.cache_clear()
    monkeypatch.setenv("MINIO_ROOT_USER", "root" if root else "")
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "secret")
    with pytest.raises(
        CommandError,
        match=r"^MINIO_BUCKET \(10 characters: letters and others\) is not the name of a bucket: .*correct the",
    ):
        call_command("bootstrap")


def test_bootstrap_names_a_wrong_password_of_the_root(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_ROOT_USER", ROOT_ACCESS_KEY)
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "wrong")
    with pytest.raises(CommandError, match=r"MINIO_ROOT_(USER|PASSWORD)"):
        call_command("bootstrap")


def test_check_warns_of_a_bad_name_of_the_bucket(settings: Any) -> None:
    settings.MINIO_BUCKET = "Bad_Bucket"
    [found] = [one for one in check_settings() if one.id == "evermuse.W007"]
    assert "MINIO_BUCKET (10 characters: letters and others)" in found.msg
    assert "3 to 63 lower-case" in str(found.hint)
