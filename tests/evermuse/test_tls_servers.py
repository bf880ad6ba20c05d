"""Real servers with TLS: certificates of the given authority are accepted, and all others refused."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from deploy.local.embedded import Servers
from deploy.local.state import free_port, write_private
from tests.journeys.stack import until
from tests.parts import rabbitmq
from tests.parts import redis as redis_part
from tests.parts.rabbitmq import PASSWORD, USER, RabbitMQ

ROOT = Path(__file__).resolve().parent.parent.parent
no_redis = pytest.mark.skipif(bool(redis_part.missing()), reason=str(redis_part.missing()))
no_rabbitmq = pytest.mark.skipif(bool(rabbitmq.missing()), reason=str(rabbitmq.missing()))
# Says of Redis and of the broker whether the product, with the settings of the environment, reaches it.
PROBE = """
import redis
from django.conf import settings
from evermuse.celery import app

def broker():
    with app.connection_for_write() as connection:
        connection.connect()
        if hasattr(connection.default_channel, "client"):
            connection.default_channel.client.ping()

def said(connect):
    try:
        connect()
    except Exception as error:
        return "refused" if "CERTIFICATE_VERIFY_FAILED" in str(error) else repr(error)
    return "reached"

print(said(redis.Redis.from_url(settings.REDIS_URL, retry=None).ping), said(broker))
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the authority's certificate, another authority's, and keys of a server and of another host."""
    root = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(root / "ca.pem")
    trustme.CA().cert_pem.write_to_path(root / "stranger.pem")
    for name, host in (("server", "127.0.0.1"), ("elsewhere", "elsewhere.example")):
        issued = authority.issue_cert(host)
        issued.cert_chain_pems[0].write_to_path(root / f"{name}.pem")
        write_private(root / f"{name}.key", issued.private_key_pem.bytes().decode())
    return root


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def probed(monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    """What a new process of the product says of Redis and of the broker."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", PROBE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def secure_redis(files: Path, certificate: str) -> Iterator[str]:
    """The address of a Redis that speaks only TLS."""
    port = free_port()
    command = [
        *redis_part.command(), "--port", "0", "--tls-port", str(port),
        "--bind", "127.0.0.1", "--tls-cert-file", str(files / f"{certificate}.pem"),
        "--tls-key-file", str(files / f"{certificate}.key"), "--tls-ca-cert-file", str(files / "ca.pem"),
        "--tls-auth-clients", "no", "--save", "", "--dir", str(files), "--requirepass", "redis-of-a-test",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port) or process.poll() is not None, "Redis listens")
        assert process.poll() is None
        yield f"rediss://:redis-of-a-test@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@no_redis
def test_redis_with_tls_is_reached_only_with_its_authority(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with secure_redis(files, "server") as address:
        for query, expected in (
            (f"?ssl_ca_certs={files}/ca.pem", "reached"),
            (f"?ssl_ca_certs={files}/stranger.pem", "refused"),
            ("", "refused"),
        ):
            found = probed(monkeypatch, REDIS_URL=f"{address}/1{query}", CELERY_BROKER_URL=f"{address}/0{query}")
            assert found == f"{expected} {expected}", query


@no_redis
def test_redis_with_the_certificate_of_another_host_is_refused(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with secure_redis(files, "elsewhere") as address:
        query = f"?ssl_ca_certs={files}/ca.pem"
        found = probed(monkeypatch, REDIS_URL=f"{address}/1{query}", CELERY_BROKER_URL=f"{address}/0{query}")
        assert found == "refused refused"


@dataclass(frozen=True)
class SecureRabbitMQ(RabbitMQ):
    """It also listens for TLS."""

    tls_port: int = field(default_factory=free_port)
    options: dict[str, Path] = field(default_factory=dict)

    def prepare(self) -> None:
        super().prepare()
        config = self.root / "rabbitmq.conf"
        lines = [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", "ssl_options.verify = verify_none"]
        lines += [f"ssl_options.{name} = {file}" for name, file in self.options.items()]
        write_private(config, config.read_text() + "\n".join(lines) + "\n")


@contextmanager
def secure_rabbitmq(servers: Servers, root: Path, files: Path, certificate: str) -> Iterator[str]:
    """The address of a RabbitMQ with TLS."""
    options = {"cacertfile": files / "ca.pem", "certfile": files / f"{certificate}.pem"}
    server = SecureRabbitMQ(root, options=options | {"keyfile": files / f"{certificate}.key"})
    servers.add(server)
    servers.start("rabbitmq")
    try:
        servers.wait_ready("rabbitmq")
        until(lambda: answers(server.tls_port), "it listens for TLS")
        yield f"amqps://{USER}:{PASSWORD}@127.0.0.1:{server.tls_port}//"
    finally:
        servers.stop("rabbitmq")


@no_rabbitmq
def test_rabbitmq_with_tls_is_reached_only_with_its_authority(
    servers: Servers, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_rabbitmq(servers, tmp_path / "rabbitmq", files, "server") as address:
        for query, expected in (
            (f"?ssl_ca_certs={files}/ca.pem", "reached"),
            (f"?ssl_ca_certs={files}/stranger.pem", "refused"),
            ("", "refused"),
        ):
            assert probed(monkeypatch, CELERY_BROKER_URL=f"{address}{query}") == f"reached {expected}", query


@no_rabbitmq
def test_rabbitmq_with_the_certificate_of_another_host_is_refused(
    servers: Servers, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_rabbitmq(servers, tmp_path / "rabbitmq", files, "elsewhere") as address:
        url = f"{address}?ssl_ca_certs={files}/ca.pem"
        assert probed(monkeypatch, CELERY_BROKER_URL=url) == "reached refused"
