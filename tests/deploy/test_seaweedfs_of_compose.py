"""deploy/seaweedfs/start.sh, run with the real server."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import requests
from minio import Minio
from minio.error import S3Error

from tests.journeys.stack import free_port, until

SCRIPT = Path(__file__).resolve().parent.parent.parent / "deploy" / "seaweedfs" / "start.sh"
BUCKET = "evermuse-lake"
SECRETS = {"evermuse-root": "root-secret_1", "evermuse": "product-secret_1", "evermuse-uploads": "upload-secret_1"}


def environment(tmp_path: Path, port: int) -> dict[str, str]:
    others = " ".join(
        f"-{part}.port={free_port()} -{part}.port.grpc={free_port()}" for part in ("master", "volume", "filer")
    )
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STORE_ROOT_SECRET_KEY": SECRETS["evermuse-root"],
        "STORE_SECRET_KEY": SECRETS["evermuse"],
        "STORE_UPLOAD_SECRET_KEY": SECRETS["evermuse-uploads"],
        "STORE_SETTINGS": str(tmp_path / "settings"),
        "STORE_DATA": str(tmp_path),
        "STORE_LISTEN": "127.0.0.1",
        "STORE_PORT": str(port),
        "STORE_OPTIONS": f"{others} -s3.port.grpc={free_port()}",
    }


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    while True:
        port, directory = free_port(), tmp_path_factory.mktemp("seaweedfs")
        with (directory / "log").open("wb") as log:
            server = subprocess.Popen(["sh", str(SCRIPT)], env=environment(directory, port), stdout=log, stderr=log)
        try:
            until(lambda: answers(port) or server.poll() is not None, "the S3 gateway answers")  # noqa: B023
            if server.poll() is None:
                yield f"127.0.0.1:{port}"
                return
        finally:
            server.kill()
            server.wait()
        # It has ten ports, and another process may have taken one of them since it was chosen.
        assert "address already in use" in (directory / "log").read_text()


def answers(port: int) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).raise_for_status()
        client(f"127.0.0.1:{port}", "evermuse-root").list_buckets()
        return True
    except (requests.RequestException, S3Error, ElementTree.ParseError):  # The last: another server has this port.
        return False


def client(endpoint: str, key: str) -> Minio:
    return Minio(endpoint, key, SECRETS[key], secure=False, region="us-east-1")


def test_store_of_compose_gives_each_key_its_rights_and_no_more(endpoint: str) -> None:
    root, product, uploads = (client(endpoint, key) for key in SECRETS)
    root.make_bucket(BUCKET)
    root.make_bucket("other")
    product.put_object(BUCKET, "records/a", io.BytesIO(b"a"), 1)
    assert product.get_object(BUCKET, "records/a").data == b"a"
    uploads.put_object(BUCKET, "uploads/b", io.BytesIO(b"b"), 1)
    signed = uploads.presigned_put_object(BUCKET, "uploads/c", timedelta(minutes=1))
    assert requests.put(signed, data=b"c", timeout=60).status_code == 200
    for refused in (
        lambda: uploads.get_object(BUCKET, "records/a"),
        lambda: uploads.put_object(BUCKET, "records/d", io.BytesIO(b"d"), 1),
        lambda: product.put_object("other", "e", io.BytesIO(b"e"), 1),
        lambda: product.make_bucket("another"),
    ):
        with pytest.raises(S3Error, match="AccessDenied"):
            refused()
    assert requests.get(f"http://{endpoint}/{BUCKET}/records/a", timeout=60).status_code == 403


def test_store_of_compose_listens_beyond_its_container_with_the_gateway_alone(endpoint: str, tmp_path: Path) -> None:
    """The gateway's address is the one that ``STORE_LISTEN`` names; every other port is on the loopback interface."""
    words = subprocess.run(
        ["sh", str(SCRIPT)],
        env={**environment(tmp_path, 1), "STORE_LISTEN": "0.0.0.0", "PATH": f"{_echoing(tmp_path)}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert [word for word in words if "0.0.0.0" in word] == ["-s3.ip.bind=0.0.0.0"]
    assert "-ip.bind=127.0.0.1" in words
    sockets: list[Any] = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN" and one.laddr]
    [owner] = [one.pid for one in sockets if one.laddr[1] == int(endpoint.partition(":")[2])]
    listening = [one.laddr for one in sockets if one.pid == owner]
    assert len(listening) >= 7
    assert {address[0] for address in listening} == {"127.0.0.1"}


def test_store_of_compose_refuses_a_secret_that_could_change_its_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT)],
        env={**environment(tmp_path, 1), "STORE_SECRET_KEY": 'a"}]}'},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "letters, digits, - and _" in done.stderr
    assert not (tmp_path / "settings" / "s3.json").exists()


def _echoing(tmp_path: Path) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "weed").write_text('#!/bin/sh\necho "$@"\n')
    (directory / "weed").chmod(0o755)
    return directory
