"""Delivery of alerts: takes them from the outbox under a lease, and sends them outside of any transaction, with backoff.

Delivery is at least once: a worker that dies after the answer and before its commit sends again. Receivers recognize a
repeated alert by its ``id``.
"""

import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection
from django.utils import timezone

from attachments.fetch.watch import watchdog
from evermuse import logs, retry_policy
from ingest.activity import pointers
from ingest.problems import explanations, sql
from ingest.problems.models import Alert

log = logs.get(__name__)

AT_ONCE = 4
# Longer than a send may take, so that no other worker takes the row meanwhile.
LEASE_SECONDS = 120.0
# The limits of a whole exchange with the webhook, and of one read or write of its socket.
DEADLINE_SECONDS, SOCKET_SECONDS = 8.0, 5.0

_NETWORK_ERRORS = (OSError, http.client.HTTPException, smtplib.SMTPException, ValueError)


class NotTaken(Exception):
    """The receiver answered with an error."""


def send_due() -> int:
    """Send the alerts that are due. Returns how many their receivers took."""
    sent = 0
    away: dict[str, Exception] = {}
    for alert_id, channel, event, body, attempts in _take():
        if channel in away:  # do not wait for the same receiver again in this task
            _note_failure(alert_id, attempts, away[channel])
            continue
        try:
            (_post if channel == Alert.Channel.WEBHOOK else _mail)(alert_id, event, body)
        except NotTaken as error:
            _note_failure(alert_id, attempts, error)
        except _NETWORK_ERRORS as error:
            away[channel] = error
            _note_failure(alert_id, attempts, error)
        else:
            Alert.objects.filter(pk=alert_id).update(sent_at=timezone.now(), next_attempt_at=None, last_error="")
            log.info("alert.sent", alert_id=alert_id, channel=channel, alert_event=event)
            sent += 1
    return sent


def is_any_due() -> bool:
    """Whether an alert is due now."""
    return Alert.objects.filter(next_attempt_at__lte=timezone.now()).exists()


def _take() -> list[tuple[int, str, str, dict[str, Any], int]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_ALERTS, {"lease": LEASE_SECONDS, "limit": AT_ONCE})
        rows = sorted(cursor.fetchall())
    return [(row[0], row[1], row[2], json.loads(row[3]) if isinstance(row[3], str) else row[3], row[4]) for row in rows]


def _note_failure(alert_id: int, attempts: int, error: Exception) -> None:
    wait = retry_policy.ALERTS.wait(attempts)
    following = None if wait is None else timezone.now() + timedelta(seconds=wait)
    text = f"{type(error).__name__}: {error}".replace("\0", "\ufffd")[:300]
    Alert.objects.filter(pk=alert_id, attempts=attempts).update(next_attempt_at=following, last_error=text)
    log.warning("alert.not_sent", alert_id=alert_id, attempts=attempts, error=text, is_last=following is None)


def signature(content: bytes) -> str:
    """HMAC-SHA256 of the body's bytes with the shared secret, in hex. The receiver computes the same."""
    return "sha256=" + hmac.new(settings.EVERMUSE_ALERT_WEBHOOK_SECRET.encode(), content, hashlib.sha256).hexdigest()


def _post(alert_id: int, event: str, body: dict[str, Any]) -> None:
    """One POST, without redirects or proxies. The deadline includes reading the headers."""
    url = urlsplit(settings.EVERMUSE_ALERT_WEBHOOK_URL)
    content = json.dumps({"id": alert_id, **body}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "Evermuse-Ingest", "X-Evermuse-Event": event}
    if settings.EVERMUSE_ALERT_WEBHOOK_SECRET:
        headers["X-Evermuse-Signature"] = signature(content)
    with watchdog.watching(seconds=DEADLINE_SECONDS) as transfer:
        receiver = _connection(url.scheme, url.hostname or "", url.port)
        try:
            receiver.connect()
            transfer.attach(receiver.sock)
            receiver.request("POST", f"{url.path or '/'}{'?' + url.query if url.query else ''}", content, headers)
            status = receiver.getresponse().status
        finally:
            receiver.close()
        # http.client takes headers that were cut off for complete ones.
        if transfer.stopped:
            raise NotTaken(transfer.stopped.message)
    if not 200 <= status < 300:
        raise NotTaken(f"the webhook answered HTTP {status}")


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=SOCKET_SECONDS, context=context)
    return http.client.HTTPConnection(host, port, timeout=SOCKET_SECONDS)


def _mail(alert_id: int, event: str, body: dict[str, Any]) -> None:
    EmailMessage(
        subject=subject(event, body),
        body=as_text(event, body),
        to=settings.EVERMUSE_ALERT_EMAILS,
        headers={"X-Evermuse-Alert": str(alert_id), "Auto-Submitted": "auto-generated"},
    ).send()


def subject(event: str, body: dict[str, Any]) -> str:
    """The subject of an e-mail, on one line."""
    match event:
        case Alert.Event.PROBLEMS if body["total"] == 1:
            one = body["problems"][0]
            text = f"New problem: {one['title']} ({one['workspace']})"
        case Alert.Event.PROBLEMS:
            text = f"{body['total']} new problems"
        case Alert.Event.TEST:
            text = "Test: alerts arrive here"
        case Alert.Event.BACKLOG:
            text = f"Backlog: {body['backlog']} waits for {explanations.duration(body['oldestSeconds'])}"
        case _:
            text = f"Backlog recovered: {body['backlog']}"
    return " ".join(f"[Evermuse Ingest] {text}".split())


def as_text(event: str, body: dict[str, Any]) -> str:
    """The text of an e-mail."""
    lines: list[str] = []
    if event == Alert.Event.PROBLEMS:
        for one in body["problems"]:
            place = f" at {pointers.in_words(one['field'])}" if one["field"] else ""
            lines += [
                f"{one['title']} [{one['code']}]{place}",
                f"  {one['workspace']} / {one['party']}: {one['count']:,}",
            ]
            lines += [f"  {one['url']}"] if one["url"] else []
        if body["total"] > len(body["problems"]):
            lines.append(f"… and {body['total'] - len(body['problems']):,} more.")
    elif event == Alert.Event.TEST:
        lines.append("This is a test message, sent to check that alerts arrive. Nothing is wrong.")
    else:
        oldest, threshold = (
            explanations.duration(body["oldestSeconds"]),
            explanations.duration(body["thresholdSeconds"]),
        )
        state = "is over" if event == Alert.Event.BACKLOG else "is again within"
        lines.append(
            f"The oldest that waits ({body['backlog']}) waits for {oldest}: it {state} the limit of {threshold}."
        )
    if body["inbox"]:
        lines += ["", f"Problem inbox: {body['inbox']}"]
    return "\n".join(lines) + "\n"
