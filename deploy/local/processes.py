"""The product's processes and their command lines. compose.yaml runs the same."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

WEB_PORT, FLOWER_PORT = "EVERMUSE_PORT", "EVERMUSE_FLOWER_PORT"
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
    """Web, both kinds of workers, beat and Flower. ``run``: the directory of beat's schedule."""
    cores = os.cpu_count() or 1
    quiet = ["--without-gossip", "--without-mingle"]
    return [
        _command("web", "evermuse.web", "--host", "127.0.0.1", "--port", str(web_port), "--workers",
                 str(number("EVERMUSE_WEB_WORKERS", cores))),
        _celery("worker-landing", "worker", "-n", "landing@%h", "-Q", "landing,maintenance", "-P", "prefork", "-c",
                str(number("EVERMUSE_LANDING_CONCURRENCY", cores)), *quiet),
        _celery("worker-attachments", "worker", "-n", "attachments@%h", "-Q", "attachments", "-P", "threads", "-c",
                str(number("EVERMUSE_ATTACHMENT_CONCURRENCY", 16)), *quiet),
        _celery("beat", "beat", "--schedule", f"{run}/beat-schedule", "--pidfile="),
        _celery("flower", "flower", "--address=127.0.0.1", f"--port={flower_port}", "--enable_events",
                f"--conf={FLOWER_CONFIGURATION}"),
    ]  # fmt: skip


def _command(name: str, module: str, *words: str) -> ProcessCommand:
    return ProcessCommand(name, [sys.executable, "-m", module, *words])


def _celery(name: str, *words: str) -> ProcessCommand:
    return _command(name, "celery", "-A", "evermuse", *words)
