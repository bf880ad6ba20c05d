"""What `evermuse send` shows while it runs: a bar on a terminal, plain lines in a pipe, JSON alone with --json."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.evermuse_command import Evermuse, write_lines
from tests.journeys.stack import Stack
from tests.records import record

EVENT = "2026-03-01T00:00:00Z"
COUNTS = r"[\d,]+ records, [\d,]+\.\d MB sent, [\d,]+ records/s, [\d,]+ rejected"
_CONTROL = re.compile(r"\x1b\[(\??)(\d*)(?:;\d+)*([A-Za-z])")


def write(folder: Path, count: int) -> Path:
    """A file with ``count`` records and one that is rejected."""
    lines = [record(vendor_ids={"test": f"r{n}"}, event_at=EVENT, data={"text": "v1"}) for n in range(count)]
    return write_lines(folder / "all.ndjson", [*lines, {**lines[0], "_nature": "odd"}])


def on_terminal(evermuse: Evermuse, *words: object, columns: int) -> tuple[str, int]:
    """What the command writes to a terminal, and its exit code."""
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "evermuse.client", *map(str, words)], cwd=evermuse.directory,
        env=evermuse.environment | {"COLUMNS": "", "TERM": "xterm-256color"},
        stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the last process that had the terminal has ended
            break
        if not part:
            break
        written += part
    os.close(master)
    return written.decode(), process.wait(60)


def screen(written: str) -> list[str]:
    """The lines that stay on the screen. Knows the controls that the progress display uses, and fails for others."""
    lines, row, at = [""], 0, 0
    while at < len(written):
        if control := _CONTROL.match(written, at):
            at = control.end()
            is_private, number, letter = control[1], int(control[2] or 1), control[3]
            if letter == "A":
                row -= number
            elif letter == "K":
                lines[row] = ""
            else:
                assert is_private or letter == "m", control[0]
            continue
        character = written[at]
        at += 1
        assert character != "\x1b"
        if character == "\r":
            # The display erases a line before it writes it again.
            continue
        if character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] += character
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("columns", [80, 120])
def test_terminal_shows_all_figures_on_one_line_and_keeps_only_the_summary(
    stack: Stack, tmp_path: Path, columns: int
) -> None:
    evermuse = Evermuse(stack.new_client(rate_limit=6), tmp_path)
    written, code = on_terminal(evermuse, "send", write(tmp_path, 16_000), columns=columns)
    assert code == 1
    plain = _CONTROL.sub("", written)
    shown = re.findall(rf"({COUNTS}) +(\d+:\d\d:\d\d|-:--:--)", plain)
    assert len(shown) > 5, written[-2000:]
    assert any(left[0].isdigit() for _, left in shown)
    assert len({counts for counts, _ in shown}) > 3
    assert all(len(line) <= columns for frame in plain.split("\n") for line in frame.split("\r") if "MB sent" in line)
    last = screen(written)
    assert not any("MB sent" in line for line in last)
    assert any(line.startswith("16,001 records read: 16,000 accepted in 16 batches") for line in last)
    assert last[-1].endswith("all.ndjson.rejected.ndjson")


def test_pipe_gets_plain_lines_now_and_then(stack: Stack, tmp_path: Path) -> None:
    evermuse = Evermuse(stack.new_client(rate_limit=2), tmp_path)
    printed = evermuse.run("send", write(tmp_path, 14_000), code=1)
    assert re.search(rf"^{COUNTS}, about [\d,]+ s left$", printed, re.MULTILINE), printed
    assert "\x1b" not in printed and "\r" not in printed


def test_terminal_gets_only_one_line_of_json_with_json(stack: Stack, tmp_path: Path) -> None:
    evermuse = Evermuse(stack.new_client(rate_limit=6), tmp_path)
    written, code = on_terminal(evermuse, "send", write(tmp_path, 3000), "--json", columns=80)
    assert code == 1 and written.count("\n") == 1 and "\x1b" not in written
    counts: dict[str, Any] = json.loads(written)
    assert (counts["accepted"], counts["rejected"]) == (3000, 1)
