"""The product's processes and their command lines. compose.yaml runs the same."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.servers import StartFailed

WEB_PORT, FLOWER_PORT = "EVERMUSE_PORT", "EVERMUSE_FLOWER_PORT"
FLOWER_CONFIGURATION = Path(__file__).resolve().parent.parent.parent / "evermuse" / "flowerconfig.py"


@dataclass(frozen=True)
class ProcessCommand:
    """A named process. ``words`` begins with the interpreter."""

    name: str
    words: list[str]


def port(variable: str, default: int) -> int:
    """A port from the environment. Raises StartFailed with the variable's name."""
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise StartFailed(f"{variable} must be a port from 1 to 65535, not {text!r}")
    return int(text)


def count(variable: str, default: int) -> str:
    """A number of processes or threads from the environment."""
    text = os.environ.get(variable) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise StartFailed(f"{variable} must be a whole number from 1 to 1024, not {text!r}")
    return text


def commands(*, web_port: int, flower_port: int, run: str) -> list[ProcessCommand]:
    """Web, both kinds of workers, beat and Flower. ``run``: the directory of beat's schedule."""
    cores = os.cpu_count() or 1
    quiet = ["--without-gossip", "--without-mingle"]
    return [
        _command("web", "evermuse.web", "--host", "127.0.0.1", "--port", str(web_port), "--workers",
                 count("EVERMUSE_WEB_WORKERS", cores)),
        _celery("worker-landing", "worker", "-n", "landing@%h", "-Q", "landing,maintenance", "-P", "prefork", "-c",
                count("EVERMUSE_LANDING_CONCURRENCY", cores), *quiet),
        _celery("worker-attachments", "worker", "-n", "attachments@%h", "-Q", "attachments", "-P", "threads", "-c",
                count("EVERMUSE_ATTACHMENT_CONCURRENCY", 16), *quiet),
        _celery("beat", "beat", "--schedule", f"{run}/beat-schedule", "--pidfile="),
        _celery("flower", "flower", "--address=127.0.0.1", f"--port={flower_port}", "--enable_events",
                f"--conf={FLOWER_CONFIGURATION}"),
    ]  # fmt: skip


def _command(name: str, module: str, *words: str) -> ProcessCommand:
    return ProcessCommand(name, [sys.executable, "-m", module, *words])


def _celery(name: str, *words: str) -> ProcessCommand:
    return _command(name, "celery", "-A", "evermuse", *words)
