"""What a process loads when it starts. Each start of a command would wait for more."""

import json
import subprocess
import sys

# Prints what is loaded after the start, and which pages the system checks have looked at.
TRIAL = """
import json, sys
import django
django.setup()
loaded = sorted({"minio", "ingest.admin", "requests"} & set(sys.modules))
from evermuse import celery
celery.app.loader.import_default_modules()
of_worker = sorted({"evermuse.urls", "ingest.admin", "ingest.tasks"} & set(sys.modules))
from django.contrib import admin
from django.core import checks
faults = checks.run_checks(tags=["admin"])
print(json.dumps({"loaded": loaded, "of_worker": of_worker, "faults": len(faults), "pages": [model.__name__ for model in admin.site._registry]}))
"""


def test_start_loads_no_page_of_the_admin_and_checks_look_at_all_of_them() -> None:
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["loaded"], found["of_worker"], found["faults"]) == ([], ["ingest.tasks"], 0)
    assert {"Batch", "Workspace", "ApiKey", "User", "Record", "Attachment", "Problem"} <= set(found["pages"])


def test_start_runs_few_garbage_collections() -> None:
    trial = """
import gc
from django.conf import settings
assert settings.DEBUG is False
runs = []
gc.callbacks.append(lambda phase, info: runs.append(phase) if phase == "start" else None)
import django
django.setup()
import evermuse.urls
print(len(runs))
"""
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True, check=True)
    # With Python's own threshold there are hundreds.
    assert int(done.stdout) < 30


def test_worker_exempts_what_it_loaded_from_collections_before_its_pool_starts() -> None:
    """Otherwise each process of the pool would look through all of it, and so get a copy of its own."""
    trial = """
import gc
from types import SimpleNamespace
from unittest import mock
import django
django.setup()
from celery.signals import celeryd_after_setup
from evermuse import celery
celery.app.loader.import_default_modules()
with mock.patch.object(celery.stale_messages, "replace"):
    celeryd_after_setup.send(sender="landing", instance=SimpleNamespace(app=celery.app), conf=celery.app.conf)
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()
"""
    subprocess.run([sys.executable, "-c", trial], check=True)
