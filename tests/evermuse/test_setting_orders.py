"""If one setting must be greater than another and is not, a check names both and the fix."""

import subprocess
import sys
from math import ceil
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from evermuse import celery, checks, retry_policy
from evermuse.checks import ORDERS, Order

ROOT = Path(__file__).resolve().parent.parent.parent


def found() -> list[tuple[str, str]]:
    return [(one.msg, one.hint or "") for one in checks.check_settings() if one.id == "evermuse.W005"]


def value_of(name: str) -> int:
    value: int = celery.SWEEP_SECONDS if name == "EVERMUSE_SWEEP_SECONDS" else getattr(settings, name)
    return value


def test_default_settings_are_in_order() -> None:
    assert found() == []


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.greater}-{order.than}")
def test_setting_below_the_one_it_must_exceed_is_reported_with_both_names(order: Order) -> None:
    limit = value_of(order.than)
    with override_settings(**{order.greater: limit - 1}):
        [(msg, hint)] = [one for one in found() if order.greater in one[0] and f" {order.than}. " in one[0]]
    assert msg.endswith(f"Otherwise {order.unless}.")
    assert hint == f"Raise {order.greater} or lower {order.than}."
    with override_settings(**{order.greater: limit + 1}):
        assert not [msg for msg, _ in found() if order.greater in msg and f" {order.than}. " in msg]


@pytest.mark.parametrize(("lease", "count"), [(19, 1), (20, 1), (21, 0)])
def test_lease_must_be_longer_than_a_hang(lease: int, count: int) -> None:
    with override_settings(EVERMUSE_HANG_SECONDS=20, EVERMUSE_LEASE_SECONDS=lease):
        assert len(found()) == count


def test_quota_of_uploads_may_equal_the_largest_file() -> None:
    with override_settings(EVERMUSE_UPLOAD_QUOTA_BYTES=5, EVERMUSE_ATTACHMENT_MAX_BYTES=5):
        assert found() == []


def test_alert_that_is_turned_off_has_no_order() -> None:
    with override_settings(EVERMUSE_ALERT_BACKLOG_SECONDS=0):
        assert found() == []


def test_manage_py_check_prints_settings_that_are_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERMUSE_LEASE_SECONDS", "10")
    done = subprocess.run([sys.executable, "manage.py", "check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "EVERMUSE_LEASE_SECONDS must be greater than EVERMUSE_HANG_SECONDS" in done.stderr
    assert "Raise EVERMUSE_LEASE_SECONDS or lower EVERMUSE_HANG_SECONDS." in done.stderr


def test_window_of_downloads_must_have_room_for_the_waits_of_all_attempts() -> None:
    def told() -> list[str]:
        return [one.msg for one in checks.check_settings() if one.id == "evermuse.W006"]

    assert told() == []
    span = ceil(retry_policy.downloads().span)
    with override_settings(EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS=span):
        assert told() == []
    with override_settings(EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS=span - 1):
        [message] = told()
    assert message.startswith(f"EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS must be at least {span}, ")
    with override_settings(EVERMUSE_ATTACHMENT_MAX_ATTEMPTS=10**9):
        assert len(told()) == 1
    with override_settings(EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS=1, EVERMUSE_ATTACHMENT_MAX_ATTEMPTS=1):
        assert told() == []
