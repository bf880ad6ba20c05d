"""The command in odd surroundings: pipes as paths, outputs that take nothing, wrong proxies, certificates and keys."""

import contextlib
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from evermuse.client import Client, exporting
from evermuse.client.send.opening import OpenSource
from evermuse.client.send.rejects import RejectFile, beside
from evermuse.client.send.running import Options, Reader, Run
from evermuse.client.send.sources import find
from tests.evermuse.client.test_commands import environment, run

RECORD = {
    "_type": "call", "_schema_version": "1.0.0", "_event_at": "2026-08-01T08:00:00Z", "_vendor_ids": {"crm": "k"},
    "_product_id": "prod-abc", "_project_ids": ["proj-123"], "data": {},
}  # fmt: skip
LINE = json.dumps(RECORD).encode() + b"\n"
MAIL = "From: a@x.example\nDate: Mon, 5 Jan 2026 10:00:00 +0000\n\nx\n"
CLIENT = f"{sys.executable} -m evermuse.client"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that holds many records, more than are read to recognize a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def write_into(path: Path, content: bytes) -> subprocess.Popen[bytes]:
    program = "import sys; data = sys.stdin.buffer.read(); open(sys.argv[1], 'wb').write(data)"
    writer = subprocess.Popen([sys.executable, "-c", program, path], stdin=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(content)
    writer.stdin.close()
    return writer


def test_run_over_a_pipe_reads_all_of_its_records(pipe: Path, tmp_path: Path) -> None:
    reader = Reader(find([pipe]))
    with Client("http://127.0.0.1:9", "em_sk_none") as client, write_into(pipe, LINE * 1000):
        Run(client, reader, Options(state=tmp_path / "state"), print)
        assert sum(len(raws) for _, _, raws in reader.chunks()) == 1000
    assert not (tmp_path / "state").exists()
    assert beside(pipe, "rejected") == Path("pipe.rejected.ndjson")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_pipe_that_gives_its_first_byte_alone_is_recognized(pack: Callable[[bytes], bytes], pipe: Path) -> None:
    program = "import sys, time; data = sys.stdin.buffer.read(); out = open(sys.argv[1], 'wb', 0)\n"
    program += "out.write(data[:1]); time.sleep(0.2); out.write(data[1:])"
    packed = pack(LINE * 1000)
    with subprocess.Popen([sys.executable, "-c", program, pipe], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(packed)
        writer.stdin.close()
        source = OpenSource(pipe)
        assert b"".join(source.blocks()) == LINE * 1000
    assert source.position == len(packed)


def test_mailbox_in_a_pipe_is_converted(pipe: Path, tmp_path: Path) -> None:
    mbox = "".join(f"From a@x.example Mon Jan  5 10:00:00 2026\nSubject: {n}\n{MAIL}\n" for n in range(50))
    with write_into(pipe, mbox.encode()):
        done = run(tmp_path, "convert", "mbox", str(pipe), "--product", "p", "--project", "q", "--json")
    assert (done.returncode, json.loads(done.stderr)["converted"]) == (0, 50), done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--help > /dev/full", 3, "No space left on device"),
        ("validate record.ndjson > /dev/full", 3, "No space left on device"),
        ("validate record.ndjson --json > /dev/full", 3, "No space left on device"),
        ("convert eml mail.eml --product p --project q > /dev/full", 3, "No space left on device"),
        ("validate record.ndjson >&-", 3, "Bad file descriptor"),
        ("convert eml mail.eml --product p --project q >&-", 3, "Bad file descriptor"),
        ("validate record.ndjson 2>&-", 0, ""),
        ("validate - <&-", 1, ""),
        ("convert mbox - --product p --project q <&-", 2, "standard input is closed"),
        ("login --url http://127.0.0.1:9 <&-", 2, "standard input has no key"),
    ],
)
def test_closed_or_full_standard_files_give_one_line_and_the_documented_code(
    tmp_path: Path, words: str, code: int, message: str
) -> None:
    (tmp_path / "record.ndjson").write_bytes(LINE)
    (tmp_path / "mail.eml").write_text(MAIL)
    done = subprocess.run(
        ["sh", "-c", f"{CLIENT} {words}"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"http_proxy": "socks5://127.0.0.1:9"}, "socksio"),
        ({"http_proxy": "::::"}, "a proxy in the environment"),
        ({"no_proxy": "[::1", "http_proxy": "http://127.0.0.1:9"}, "a proxy in the environment"),
        ({"SSL_CERT_FILE": "/nonexistent"}, "SSL_CERT_FILE"),
        ({"EVERMUSE_API_KEY": "em_sk_hidden\nx"}, "the API key contains characters"),
        ({"EVERMUSE_API_KEY": "em_sk_hidden\u00fc"}, "the API key contains characters"),
    ],
)
def test_wrong_proxies_certificates_and_keys_are_wrong_usage(
    tmp_path: Path, more: dict[str, str], message: str
) -> None:
    (tmp_path / "record.ndjson").write_bytes(LINE)
    given = {"EVERMUSE_URL": "http://127.0.0.1:9", "EVERMUSE_API_KEY": "em_sk_a", **more}
    done = run(tmp_path, "send", "record.ndjson", "--patience", "0", **given)
    assert (done.returncode, message in done.stderr, "hidden" in done.stderr) == (2, True, False), done.stderr


def test_state_that_cannot_be_stored_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "record.ndjson").write_bytes(LINE)
    (tmp_path / "config").write_text("a file, not a directory")
    with Client("http://127.0.0.1:9", "em_sk_none") as client:
        reader = Reader(find([tmp_path / "record.ndjson"]))
        with pytest.raises(Exception, match="--state-dir"):
            Run(client, reader, Options(state=tmp_path / "config" / "state"), print)


def test_state_of_an_export_in_no_directory_is_wrong_usage(tmp_path: Path) -> None:
    given = {"EVERMUSE_URL": "http://127.0.0.1:9", "EVERMUSE_API_KEY": "em_sk_a"}
    done = run(tmp_path, "export", "--state", "none/copy.json", "--patience", "0", **given)
    assert (done.returncode, "there is no such directory" in done.stderr) == (2, True), done.stderr


def test_name_that_is_not_utf_8_is_shown_in_the_file_of_rejects(tmp_path: Path) -> None:
    for is_resumed in (False, True):
        file = RejectFile(tmp_path / "rejected", is_resumed=is_resumed)
        file.begin()
        file.write("c\udcffd.ndjson", 7, b"{}", [])
        file.close()
    (line,) = (tmp_path / "rejected").read_text().splitlines()
    assert json.loads(line)["file"] == "c\\xffd.ndjson"


def test_file_of_rejects_on_a_full_disk_closes_without_another_error(tmp_path: Path) -> None:
    path = tmp_path / "rejected"
    path.symlink_to("/dev/full")
    file = RejectFile(path, is_resumed=True)
    with pytest.raises(OSError, match="No space left"):
        file.write("calls.ndjson", 7, b"{}", [])
    file.close()


def test_state_of_an_export_that_cannot_be_stored_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("evermuse.client.exporting.os.fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        exporting.store(tmp_path / "copy.json", exporting.ExportState("http://server.example", {}))
    assert list(tmp_path.iterdir()) == []


def test_conversion_that_is_terminated_removes_its_temporary_files(pipe: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["convert", "mbox", str(pipe), "--product", "p", "--project", "q"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evermuse.client", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=environment(tmp_path, TMPDIR=str(scratch)),
    )  # fmt: skip
    # It waits for the rest of the pipe.
    with pipe.open("wb") as writer:
        writer.write(MAIL.encode())
        writer.flush()
        while not list(scratch.glob("*/unpacked/*")):
            assert process.poll() is None
            time.sleep(0.05)
        # A signal that comes just before a blocking read does not interrupt it, so it is sent again.
        for _ in range(6):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
                break
    assert (process.returncode, list(scratch.iterdir())) == (4, [])
