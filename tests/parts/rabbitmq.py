"""RabbitMQ with everything of its own: node name, ports, port mapper, cookie, data and log."""

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any

import amqp
from kombu import Connection

from deploy.local.state import free_port, write_private
from tests.parts import debian

# Not the wrappers in /usr/sbin, which change the user and read the system's configuration.
PROGRAMS = Path(os.environ.get("RABBITMQ_PROGRAMS", "/usr/lib/rabbitmq/bin"))
IS_INSTALLED = (PROGRAMS / "rabbitmq-server").exists() and shutil.which("epmd") is not None
MISSING = "RabbitMQ is not installed: apt-get install rabbitmq-server"
IS_DEBIANS = "rabbitmq" in debian.WANTED
# As in `evermuse.celery`, which must not be imported before the settings are chosen.
QUEUES = ("landing", "attachments", "maintenance")
USER, PASSWORD = "evermuse", "rabbit-of-a-test"
# Queues that survive the loss of a node, and messages that the broker confirms.
SAFEST = {"EVERMUSE_QUORUM_QUEUES": "true", "EVERMUSE_PUBLISHER_CONFIRMS": "true"}


def missing() -> str | None:
    """Why it cannot be run, or None."""
    if IS_DEBIANS:
        return debian.missing("rabbitmq")
    return None if IS_INSTALLED else MISSING


@dataclass(frozen=True)
class RabbitMQ:
    """``root``: the directory of everything that it writes. ``is_debians``: whether it is that of DEBIAN_ROOT."""

    root: Path
    is_debians: bool = IS_DEBIANS
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    node_port: int = field(default_factory=free_port)
    mapper_port: int = field(default_factory=free_port)
    name: str = "rabbitmq"
    is_talkative: bool = True
    stop_signal: Signals = SIGTERM

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.root),  # of the cookie
            "ERL_EPMD_PORT": str(self.mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(self.root / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.root / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.root / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.root / "plugins"),
            "RABBITMQ_NODENAME": f"evermuse{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.node_port),
            "RABBITMQ_MNESIA_BASE": str(self.root / "data"),
            "RABBITMQ_LOG_BASE": str(self.root / "log"),
            "RABBITMQ_PID_FILE": str(self.root / "pid"),
            # One scheduler: the node shares its machine with all of the stack.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        write_private(self.root / "plugins", "[].\n")
        lines = [f"default_user = {USER}", f"default_pass = {PASSWORD}", "disk_free_limit.absolute = 50MB"]
        write_private(self.root / "rabbitmq.conf", "\n".join(lines) + "\n")

    def command(self) -> list[str]:
        # The port mapper belongs to the session, and ends with it. The server would start one that outlives everything.
        mapper = f"epmd -address 127.0.0.1 -port {self.mapper_port} & sleep 0.5"
        return [*self._env(), "sh", "-c", f"{mapper}; exec {shlex.quote(str(self._programs))}/rabbitmq-server"]

    @property
    def _programs(self) -> Path:
        return Path(debian.program("rabbitmq")).parent if self.is_debians else PROGRAMS

    def _env(self) -> list[str]:
        """The words before a command that give it our variables."""
        assignments = [f"{name}={value}" for name, value in self._variables.items()]
        return [*(debian.prefix() if self.is_debians else []), "env", *assignments]

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{PASSWORD}@{self.host}:{self.port}//"

    def is_ready(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
                return True
        except (OSError, amqp.exceptions.AMQPError):
            return False

    def environment(self) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self.url}

    def control(self, *words: str) -> str:
        """Runs ``rabbitmqctl``; returns what it prints."""
        command = [*self._env(), str(self._programs / "rabbitmqctl"), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def version(self) -> str:
        """The server's version."""
        return self.control("version").strip()

    def flush(self) -> None:
        """Removes all messages of our queues."""
        with Connection(self.url, connect_timeout=5) as connection:
            for name in QUEUES:
                connection.channel().queue_purge(name)  # type: ignore[attr-defined]

    def waiting(self, queue: str) -> list[tuple[dict[str, Any], bytes]]:
        """The headers and the body of each message that no worker has taken."""
        with Connection(self.url, connect_timeout=5) as connection:
            channel: Any = connection.channel()
            # They return to the queue with the end of the connection.
            try:
                found = list(iter(lambda: channel.basic_get(queue), None))
            except amqp.exceptions.AMQPError:  # there is no such queue, or it has no leader yet
                return []
            return [(one.headers, one.body.encode() if isinstance(one.body, str) else one.body) for one in found]

    @contextlib.contextmanager
    def exhausted(self) -> Iterator[None]:
        """It accepts no message during the block, as if its memory were full."""
        self.control("set_vm_memory_high_watermark", "0.00001")
        yield
        self.control("set_vm_memory_high_watermark", "0.4")
