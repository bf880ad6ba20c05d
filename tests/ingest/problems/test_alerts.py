"""Alerts are sent once, by webhook and by e-mail, and are retried until the receiver accepts them."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from evermuse import retry_policy
from evermuse.retry_policy import RetryPolicy
from ingest.models import Batch
from ingest.pipeline import landing as pipeline
from ingest.problems import alerts, checks, collector, delivery, sweeper
from ingest.problems.models import Alert, BacklogWatch, Problem
from tests.attachments import vendor as vendors
from tests.attachments.vendor import Exchange
from tests.http_client import ApiClient
from tests.ingest.problems import receivers
from tests.ingest.problems.receivers import MailServer, Webhook
from tests.records import record


@pytest.fixture
def hook(settings: Any) -> Iterator[Webhook]:
    with receivers.webhook() as received:
        settings.EVERMUSE_ALERT_WEBHOOK_URL = f"http://127.0.0.1:{received.port}/alerts?team=ops"
        yield received


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EVERMUSE_ALERT_EMAILS = ["ops@example.com", "dev@example.com"]
    with receivers.mail_server() as received:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", received.port
        yield received


def fail(api: ApiClient, *names: str) -> None:
    """Sends rejected records, which make one problem for each name of an unknown field."""
    for name in names:
        api.post({**record(data={"text": "said in confidence"}), name: "its value"})
    collector.collect()


def told(hook: Webhook) -> list[dict[str, Any]]:
    return [json.loads(body) for _, _, body in hook.requests]


def test_new_problems_of_one_round_are_sent_in_one_message(api: ApiClient, hook: Webhook, settings: Any) -> None:
    settings.EVERMUSE_PUBLIC_URL = "https://ingest.example"
    fail(api, "a", "b", "c")
    assert alerts.tell_new_problems() == 3
    assert delivery.send_due() == 1
    [message] = told(hook)
    assert (message["event"], message["total"], len(message["problems"])) == ("PROBLEMS", 3, 3)
    one = message["problems"][0]
    assert (one["code"], one["kind"], one["party"], one["count"]) == ("VALIDATION_ERROR", "RECORDS", "api", 1)
    assert one["url"] == f"https://ingest.example/admin/problems/problem/{one['id']}/change/"
    assert hook.requests[0][0] == "/alerts?team=ops"
    assert (alerts.tell_new_problems(), delivery.send_due()) == (0, 0)


def test_alert_contains_nothing_that_a_client_sent(api: ApiClient, hook: Webhook, mail: MailServer) -> None:
    fail(api, "jane@example.com")
    alerts.tell_new_problems()
    assert delivery.send_due() == 2
    everything = hook.requests[0][2] + mail.mails[0][1].as_bytes()
    for secret in (b"confidence", b"its value", b"jane@example.com", api.key.encode()):
        assert secret not in everything


def test_webhook_request_has_a_signature_with_the_shared_secret(api: ApiClient, hook: Webhook, settings: Any) -> None:
    settings.EVERMUSE_ALERT_WEBHOOK_SECRET = "shared"
    fail(api, "a")
    alerts.tell_new_problems()
    delivery.send_due()
    _, headers, body = hook.requests[0]
    assert headers["x-evermuse-signature"] == "sha256=" + hmac.new(b"shared", body, hashlib.sha256).hexdigest()


def test_mail_names_the_problem_and_links_to_it(api: ApiClient, mail: MailServer, settings: Any) -> None:
    settings.EVERMUSE_PUBLIC_URL = "https://ingest.example"
    fail(api, "_event")
    alerts.tell_new_problems()
    assert delivery.send_due() == 1
    [(recipients, message)] = mail.mails
    text = message.get_payload(decode=True)
    assert recipients == ["ops@example.com", "dev@example.com"]
    assert "New problem: A field breaks its rule" in message["Subject"]
    assert isinstance(text, bytes)
    assert b"[VALIDATION_ERROR]" in text
    assert b"https://ingest.example/admin/problems/problem/" in text


def test_rejected_alert_is_sent_again_after_growing_waits(
    api: ApiClient, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "ALERTS", RetryPolicy(first=100.0, longest=1000.0))
    hook.status = 503
    fail(api, "a")
    alerts.tell_new_problems()
    waits: list[float] = []
    for _ in range(3):
        before = timezone.now()
        assert delivery.send_due() == 0
        alert = Alert.objects.get()
        assert alert.next_attempt_at
        waits.append(round((alert.next_attempt_at - before).total_seconds(), -2))
        assert delivery.send_due() == 0  # the wait is not over
        Alert.objects.update(next_attempt_at=timezone.now())
    assert waits == [100, 200, 400]
    assert (alert.attempts, alert.last_error) == (3, "NotTaken: the webhook answered HTTP 503")
    hook.status = 204
    assert delivery.send_due() == 1
    alert.refresh_from_db()
    assert (len(hook.requests), alert.next_attempt_at, alert.last_error) == (4, None, "")
    assert len({message["id"] for message in told(hook)}) == 1


def test_failing_channel_does_not_delay_the_other(api: ApiClient, hook: Webhook, mail: MailServer) -> None:
    mail.refuses = True
    fail(api, "a")
    alerts.tell_new_problems()
    assert delivery.send_due() == 1
    assert Alert.objects.get(channel="WEBHOOK").sent_at
    assert "no such box" in Alert.objects.get(channel="EMAIL").last_error


def test_unreachable_webhook_counts_as_a_failed_attempt(api: ApiClient, hook: Webhook, settings: Any) -> None:
    fail(api, "a")
    alerts.tell_new_problems()
    settings.EVERMUSE_ALERT_WEBHOOK_URL = "http://127.0.0.1:9/"
    assert delivery.send_due() == 0
    assert "ConnectionRefusedError" in Alert.objects.get().last_error


def test_unreachable_channel_is_tried_once_a_round(
    api: ApiClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_ALERT_WEBHOOK_URL = "http://127.0.0.1:9/"
    dialled: list[str] = []
    connection = delivery._connection

    def dial(scheme: str, host: str, port: int | None) -> HTTPConnection:
        dialled.append(host)
        return connection(scheme, host, port)

    monkeypatch.setattr(delivery, "_connection", dial)
    for _ in range(3):
        alerts.test()
    assert (delivery.send_due(), dialled) == (0, ["127.0.0.1"])
    assert [alert.attempts for alert in Alert.objects.all()] == [1, 1, 1]


def test_testalert_reports_the_result_for_each_channel(
    db: None, hook: Webhook, mail: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    mail.refuses = True
    with pytest.raises(CommandError, match="no such box"):
        call_command("testalert")
    assert json.loads(capsys.readouterr().out)["webhook"] == "sent"
    mail.refuses = False
    call_command("testalert")
    assert json.loads(capsys.readouterr().out) == {"webhook": "sent", "e-mail": "sent"}
    assert "Test: alerts arrive here" in mail.mails[-1][1]["Subject"]


def test_testalert_reports_that_no_channel_is_configured(db: None) -> None:
    with pytest.raises(CommandError, match="EVERMUSE_ALERT_WEBHOOK_URL"):
        call_command("testalert")


def test_redirect_of_a_webhook_is_not_followed(api: ApiClient, hook: Webhook) -> None:
    hook.status = 302
    fail(api, "a")
    alerts.tell_new_problems()
    assert (delivery.send_due(), len(hook.requests)) == (0, 1)


def test_alert_is_given_up_after_the_last_attempt(
    api: ApiClient, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_policy, "ALERTS", replace(retry_policy.ALERTS, max_attempts=1))
    hook.status = 500
    fail(api, "a")
    alerts.tell_new_problems()
    delivery.send_due()
    alert = Alert.objects.get()
    assert (alert.sent_at, alert.next_attempt_at) == (None, None)


def test_new_problems_are_sent_at_most_once_a_minute(api: ApiClient, hook: Webhook) -> None:
    fail(api, "a")
    assert alerts.tell_new_problems() == 1
    fail(api, "b", "c")
    assert alerts.tell_new_problems() == 0
    Alert.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    assert alerts.tell_new_problems() == 2


def test_resolved_problem_alerts_again_and_a_muted_one_does_not(api: ApiClient, hook: Webhook) -> None:
    fail(api, "a")
    alerts.tell_new_problems()
    for state, told_again in (("OPEN", 0), ("MUTED", 0), ("RESOLVED", 1)):
        Alert.objects.all().delete()
        Problem.objects.update(state=state)
        fail(api, "a")
        assert alerts.tell_new_problems() == told_again


def test_alert_without_a_channel_is_not_kept_for_later(api: ApiClient, settings: Any) -> None:
    fail(api, "a")
    assert alerts.tell_new_problems() == 1
    settings.EVERMUSE_ALERT_WEBHOOK_URL = "http://127.0.0.1:9/"
    assert (Alert.objects.count(), alerts.tell_new_problems()) == (0, 0)


def later() -> None:
    """Makes the backlog have been over its threshold for a while."""
    BacklogWatch.objects.update(over_since=timezone.now() - timedelta(minutes=1))


def test_old_backlog_alerts_once_and_once_more_when_it_has_recovered(api: ApiClient, hook: Webhook) -> None:
    api.post(record())
    alerts.watch_backlogs()
    later()
    alerts.watch_backlogs()
    assert not Alert.objects.exists()  # the batch is young
    Batch.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    alerts.watch_backlogs()
    assert not Alert.objects.exists()  # it may be an old batch that was retried just now
    later()
    for _ in range(3):
        alerts.watch_backlogs()
    pipeline.land_waiting()
    for _ in range(3):
        alerts.watch_backlogs()
    assert delivery.send_due() == 2
    assert [(m["event"], m["backlog"], m["thresholdSeconds"]) for m in told(hook)] == [
        ("BACKLOG", "landing", 300),
        ("RECOVERED", "landing", 300),
    ]
    assert told(hook)[0]["oldestSeconds"] >= 360


def test_threshold_of_zero_turns_the_backlog_alert_off(api: ApiClient, hook: Webhook, settings: Any) -> None:
    settings.EVERMUSE_ALERT_BACKLOG_SECONDS = 0
    api.post(record())
    Batch.objects.update(created_at=timezone.now() - timedelta(hours=6))
    alerts.watch_backlogs()
    assert not BacklogWatch.objects.exists()


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("", True),
        ("https://hooks.example/x", True),
        ("http://127.0.0.1:8080", True),
        ("hooks.example/x", False),
        ("ftp://hooks.example", False),
        ("https:///secret", False),
        ("https://hooks.example:port/secret", False),
    ],
)
def test_check_reports_a_malformed_webhook_url_without_its_secret(settings: Any, url: str, is_good: bool) -> None:
    settings.EVERMUSE_ALERT_WEBHOOK_URL = url
    found = checks.problems_of_settings()
    assert [error.id for error in found] == ([] if is_good else ["problems.E001"])
    assert not any("secret" in str(error) for error in found)


def test_check_reports_a_malformed_e_mail_address(settings: Any) -> None:
    settings.EVERMUSE_ALERT_EMAILS = ["ops@example.com", "nobody"]
    assert [error.id for error in checks.problems_of_settings()] == ["problems.E003"]


def test_backlog_alerts_even_if_counting_problems_fails(
    api: ApiClient, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.post(record())
    Batch.objects.update(created_at=timezone.now() - timedelta(hours=6))
    alerts.watch_backlogs()
    later()
    monkeypatch.setattr(collector, "collect", lambda: 1 / 0)
    monkeypatch.setattr("evermuse.wake.publish", lambda task, ids, **_: True)
    sweeper.sweep()
    assert [alert.event for alert in Alert.objects.all()] == ["BACKLOG"]


def test_webhook_that_answers_too_slowly_is_a_failed_attempt(
    api: ApiClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DEADLINE_SECONDS", 0.3)
    fail(api, "a")

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        exchange.drip(b"X: " + b"x" * 1000, every=0.1)

    with vendors.running() as vendor:
        settings.EVERMUSE_ALERT_WEBHOOK_URL = vendor.on("/", drip)
        alerts.tell_new_problems()
        assert delivery.send_due() == 0
    assert "took longer" in Alert.objects.get().last_error
