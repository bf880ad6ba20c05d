"""Logins of the admin: locked after too many failures, limited in time, and without weak passwords."""

import logging
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evermuse import logins

PASSWORD = "three-long-words-1"
LOGIN = reverse("admin:login")


@pytest.fixture(autouse=True)
def boss(db: None) -> User:
    return User.objects.create_superuser("boss", "", PASSWORD)


def enter(password: str, *, username: str = "boss", address: str = "203.0.113.1") -> int:
    answer = Client().post(LOGIN, {"username": username, "password": password}, REMOTE_ADDR=address)
    return answer.status_code


def test_failed_logins_lock_a_name_for_their_address_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = [enter("wrong") for _ in range(settings.AXES_FAILURE_LIMIT)]
    assert failures[:-1] == [200] * (settings.AXES_FAILURE_LIMIT - 1)
    assert enter(PASSWORD) == 429
    assert enter(PASSWORD, address="203.0.113.2") == 302
    told = "\n".join(entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING)
    assert "boss" in told and "203.0.113.1" in told
    assert "wrong" not in told and PASSWORD not in told


def test_ipv6_addresses_of_one_network_are_counted_as_one() -> None:
    for number in range(settings.AXES_FAILURE_LIMIT):
        enter("wrong", address=f"2001:db8:1:2::{number}")
    assert enter(PASSWORD, address="2001:db8:1:2:ffff::1") == 429
    assert enter(PASSWORD, address="2001:db8:1:3::1") == 302
    call_command("axes_reset_ip", "2001:db8:1:2::", stdout=StringIO())
    assert enter(PASSWORD, address="2001:db8:1:2:ffff::1") == 302


def test_locked_login_gets_a_page_of_the_admin_that_says_how_long_and_leads_back() -> None:
    for name in ("boss", "nobody"):
        for _ in range(settings.AXES_FAILURE_LIMIT):
            answer = Client().post(LOGIN, {"username": name, "password": "wrong"}, REMOTE_ADDR="203.0.113.1")
        page = answer.content.decode()
        assert (answer.status_code, answer["Retry-After"]) == (429, "900")
        assert "unfold/css/styles.css" in page and f'href="{LOGIN}"' in page
        assert "For 15 minutes" in page and "manage.py axes_reset_ip 203.0.113.1" in page
        assert name not in page


def test_lock_of_an_address_is_lifted_by_the_command_that_the_page_names() -> None:
    for _ in range(settings.AXES_FAILURE_LIMIT):
        enter("wrong")
    assert enter(PASSWORD) == 429
    call_command("axes_reset_ip", "203.0.113.1", stdout=StringIO())
    assert enter(PASSWORD) == 302


def test_failed_logins_of_unknown_names_are_counted_like_others() -> None:
    assert [enter("wrong", username="nobody") for _ in range(settings.AXES_FAILURE_LIMIT + 1)][-1] == 429


def test_failed_logins_of_names_of_any_length_are_counted() -> None:
    for ending in range(settings.AXES_FAILURE_LIMIT - 1):
        assert enter("wrong", username=f"{'u' * 300}{ending}") == 200
    assert enter("wrong", username="u" * 400) == 429


def test_address_that_fails_with_many_names_is_locked() -> None:
    for number in range(logins.FAILURES_OF_AN_ADDRESS):
        enter("wrong", username=f"name-{number}")
    assert enter(PASSWORD) == 429
    assert enter(PASSWORD, address="203.0.113.2") == 302


def test_successful_login_resets_the_count_of_failures() -> None:
    for _ in range(3):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            enter("wrong")
        assert enter(PASSWORD) == 302


def test_session_ends_twelve_hours_after_login_despite_activity() -> None:
    client = Client()
    client.post(LOGIN, {"username": "boss", "password": PASSWORD})
    ends = client.session.get_expiry_date()
    assert abs(ends - timezone.now() - timedelta(hours=12)) < timedelta(minutes=1)
    session = client.session
    session["something"] = "changed"
    session.save()
    client.get(reverse("admin:index"))
    assert client.session.get_expiry_date() == ends
    assert settings.SESSION_COOKIE_AGE == 12 * 3600


@pytest.mark.parametrize("weak", ["short", "123456789012345", "administrator", "boss-boss"])
def test_weak_passwords_are_rejected(weak: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(weak, User(username="boss"))


def test_login_without_a_request_is_not_throttled() -> None:
    assert Client().login(username="boss", password=PASSWORD)
