"""An address and port to which downloads are allowed while a command runs."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from attachments.fetch import allowed_endpoints
from attachments.models import AllowedEndpoint
from tests.attachments.journey import file, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def no_network_allowed(settings: Any) -> None:
    settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = ()


def outcome(api: ApiClient, url: str) -> str:
    batch_id = send(api, file(url))
    run(api, batch_id)
    (row,) = api.rows(batch_id, "attachments")
    return row["error"]["code"] if row["error"] else str(row["state"])


@pytest.mark.usefixtures("empty_store")
def test_allowed_endpoint_opens_one_port_for_its_duration(api: ApiClient, vendor: Vendor) -> None:
    vendor.on("/file", lambda e: e.answer(b"sound"))
    port = int(vendor.url("").rpartition(":")[2])
    with allowed_endpoints.allowed(address="127.0.0.1", port=port):
        assert outcome(api, vendor.url("/file")) == "COMPLETE"
        assert outcome(api, vendor.url("/file").replace("127.0.0.1", "127.0.0.2")) == "BLOCKED_ADDRESS"
        assert outcome(api, f"http://127.0.0.1:{port + 1}/file") == "BLOCKED_ADDRESS"
    assert outcome(api, vendor.url("/file")) == "BLOCKED_ADDRESS"


@pytest.mark.django_db
def test_allowed_endpoint_expires_unless_renewed() -> None:
    allowed_endpoints.allow(address="127.0.0.1", port=9)
    assert allowed_endpoints.allows("127.0.0.1", 9)
    AllowedEndpoint.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert not allowed_endpoints.allows("127.0.0.1", 9)
    allowed_endpoints.allow(address="127.0.0.1", port=9)
    assert allowed_endpoints.allows("127.0.0.1", 9)


@pytest.mark.django_db
@pytest.mark.parametrize("endpoint", ["localhost:1", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", ":80"])
def test_allowdownloads_rejects_a_malformed_endpoint(endpoint: str) -> None:
    with pytest.raises(CommandError, match="ADDRESS:PORT"):
        call_command("allowdownloads", endpoint)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["input", "kill"])
def test_allowdownloads_allows_its_endpoint_until_its_input_ends(end: str) -> None:
    name = connection.settings_dict["NAME"]
    command = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "allowdownloads", "[::1]:9"],
        env={**os.environ, "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{name}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert command.stdin and command.stdout
    try:
        assert json.loads(command.stdout.readline()) == {"address": "::1", "port": 9}
        assert allowed_endpoints.allows("::1", 9)
    finally:
        if end == "kill":
            command.kill()
        command.stdin.close()
        code = command.wait(120)
        command.stdout.close()
    left = AllowedEndpoint.objects.get() if end == "kill" else None
    assert (code, left is None) == ((-9, False) if end == "kill" else (0, True))
    if left:
        assert left.until < timezone.now() + allowed_endpoints.LIFETIME
