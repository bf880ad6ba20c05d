"""Commands that print JSON print nothing else on standard output; everything else goes to standard error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from deploy.local.embedded import Servers

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: str) -> tuple[Any, str]:
    """Runs a command on the tests' database; returns its JSON and its standard error."""
    url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    environment = {
        **os.environ, "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}", "EVERMUSE_LOG_LEVEL": "DEBUG",
        "EVERMUSE_ADMIN_PASSWORD": "made-for-the-commands-1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout), done.stderr


@pytest.mark.django_db(transaction=True)
def test_commands_print_json_alone_on_stdout(servers: Servers) -> None:
    assert run("createworkspace", "w", "--product", "p", "--project", "q")[0]["workspace"] == "w"
    made, told = run("createapikey", "w", "--label", "k")
    assert (made["label"], set(made)) == ("k", {"workspace", "label", "apiKey", "permissions"})
    assert "key.created" in told and made["apiKey"] not in told
    revoked, told = run("revokeapikey", "w", "k")
    assert revoked == {"workspace": "w", "label": "k", "revoked": True}
    assert "key.revoked" in told
    assert "processes" in run("services")[0]
    assert run("bootstrap_demo")[0]["workspace"] == "demo"
