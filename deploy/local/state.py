"""What the embedded stack stores under EVERMUSE_HOME: secrets, ports, its clients' environment, and processes."""

import json
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

# `database` and `store_root` belong to the servers. The product never sees them.
SECRETS = ("database", "database_app", "valkey", "store_root", "store", "store_uploads", "django", "admin", "flower")
ROOT_ACCESS_KEY, ACCESS_KEY, UPLOAD_ACCESS_KEY = "evermuse-root", "evermuse", "evermuse-uploads"
ADMIN = "admin"
FLOWER = "flower"
BUCKET = "evermuse-lake"


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically. Only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def read_json(path: Path, default: Any) -> Any:
    """A file's JSON, or the default if the file is missing or incomplete."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default


class Home:
    """The directory of one embedded stack's state."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.run = self.root / "run"
        self.environment_file = self.run / "environment.json"
        self.processes_file = self.run / "processes.json"
        self.lock_file = self.run / "supervisor.lock"
        self.key_file = self.root / "demo-api-key"
        self.ports_in_use: dict[str, int] = {}

    def prepare(self) -> None:
        """Make the directories. Directories above EVERMUSE_HOME keep their modes."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in (self.run, self.root / "log"):
            path.mkdir(mode=0o700, exist_ok=True)

    def secrets(self) -> dict[str, str]:
        """The passwords, generated once."""
        path = self.run / "secrets.json"
        known: dict[str, str] = read_json(path, {})
        missing = [name for name in SECRETS if name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            write_private(path, json.dumps(known))
        return known

    def choose_ports(self, *names: str, accept: Callable[[int], bool] = lambda _: True) -> None:
        """Free ports on 127.0.0.1. They stay the same at each start unless another process has taken one."""
        path = self.run / "ports.json"
        known: dict[str, int] = read_json(path, {})
        given = {name: known[name] for name in names if name in known and is_free(known[name])}
        taken = set(given.values()) | set(known.values())
        for name in names:
            if name not in given:
                given[name] = free_port(lambda port: port not in taken and accept(port))
                taken.add(given[name])
        write_private(path, json.dumps(known | given))
        self.ports_in_use = given


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(accept: Callable[[int], bool] = lambda _: True) -> int:
    """A free port of 127.0.0.1."""
    # Below the kernel's range for outgoing connections, so that none of them takes the port during a restart.
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        if accept(port) and is_free(port):
            return port
