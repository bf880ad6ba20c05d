"""The product's processes and their command lines. compose.yaml and the Helm chart run the same, with maintenance apart."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

WEB_PORT, FLOWER_PORT = "EVERMUSE_PORT", "EVERMUSE_FLOWER_PORT"
QUIET = ["--without-gossip", "--without-mingle"]
# A round of compaction takes up to 20 seconds. The other process runs the sweepers meanwhile.
MAINTENANCE_PROCESSES = 2
FLOWER_CONFIGURATION = Path(__file__).resolve().parent.parent.parent / "evermuse" / "flowerconfig.py"


@dataclass(frozen=True)
class ProcessCommand:
    """A named process. ``words`` begins with the interpreter."""

    name: str
    words: list[str]


def number(variable: str, default: int) -> int:
    """A port or a number of processes from the environment. The check of the settings has refused other values.

    Not by `evermuse.env`, which would find the ports of an earlier start.
    """
    return int(os.environ.get(variable) or default)


def commands(*, web_port: int, flower_port: int, run: str) -> list[ProcessCommand]:
    """Web, both kinds of workers, beat and Flower. ``run``: the directory of beat's schedule.

    On one machine the landing worker also runs maintenance. A worker of its own would take another 240 MB of memory, and a
    round of maintenance ends after at most 20 seconds, so landing does not wait for long.
    """
    cores = os.cpu_count() or 1
    return [
        _command("web", "evermuse.web", "--host", "127.0.0.1", "--port", str(web_port), "--workers",
                 str(number("EVERMUSE_WEB_WORKERS", cores))),
        _celery("worker-landing", "worker", "-n", "landing@%h", "-Q", "landing,maintenance", "-P", "prefork", "-c",
                str(number("EVERMUSE_LANDING_CONCURRENCY", cores)), *QUIET),
        _celery("worker-attachments", "worker", "-n", "attachments@%h", "-Q", "attachments", "-P", "threads", "-c",
                str(number("EVERMUSE_ATTACHMENT_CONCURRENCY", 16)), *QUIET),
        _celery("beat", "beat", "--schedule", f"{run}/beat-schedule", "--pidfile="),
        _celery("flower", "flower", "--address=127.0.0.1", f"--port={flower_port}", "--enable_events",
                f"--conf={FLOWER_CONFIGURATION}"),
    ]  # fmt: skip


def commands_apart(*, web_port: int, flower_port: int, run: str) -> list[ProcessCommand]:
    """Those of `commands`, with a landing worker and a maintenance worker, so that neither waits for the other."""
    return [apart for one in commands(web_port=web_port, flower_port=flower_port, run=run) for apart in _apart(one)]


def _apart(command: ProcessCommand) -> list[ProcessCommand]:
    if command.name != "worker-landing":
        return [command]
    landing = ["landing" if word == "landing,maintenance" else word for word in command.words]
    return [
        ProcessCommand(command.name, landing),
        _celery("worker-maintenance", "worker", "-n", "maintenance@%h", "-Q", "maintenance", "-P", "prefork", "-c",
                str(MAINTENANCE_PROCESSES), *QUIET),
    ]  # fmt: skip


def _command(name: str, module: str, *words: str) -> ProcessCommand:
    return ProcessCommand(name, [sys.executable, "-m", module, *words])


def _celery(name: str, *words: str) -> ProcessCommand:
    return _command(name, "celery", "-A", "evermuse", *words)
