"""Django system checks of our settings. Messages name the variable and the fix, but never the value."""

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from evermuse import celery, env, retry_policy, serving, setting_table, store_address

PREFIX = "EVERMUSE_"
# Other programs read variables that begin like these. Only names that are nearly ours are typing errors.
OTHER_PREFIXES, TYPO = ("CELERY_", "DATABASE_", "MINIO_", "REDIS_"), 0.85
# Kubernetes sets these for each Service, such as EVERMUSE_SERVICE_HOST and EVERMUSE_PORT_80_TCP_ADDR.
SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_[0-9]+_(TCP|UDP)(_|$)")
WITHOUT_EFFECT = (
    ("EVERMUSE_ALERT_WEBHOOK_SECRET", "EVERMUSE_ALERT_WEBHOOK_URL"),
    ("EVERMUSE_EMAIL_URL", "EVERMUSE_ALERT_EMAILS"),
)
# Variables that the client and the tests read, and that our processes set for each other. Settings of the product are declared
# where they are read.
READ_ELSEWHERE = frozenset(
    PREFIX + name
    for name in (
        "SUPERVISED_HOME", "WEB_PARENT", "FAULTS_SEED", "BENCH_RECORDS", "URL", "API_KEY", "CONFIG", "PROFILE", "STATE_DIR",
        "PRODUCT", "PROJECT",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """Two settings, one of which must be greater. ``unless``: what goes wrong otherwise. 0 turns some settings off."""

    greater: str
    than: str
    unless: str
    may_be_equal: bool = False


ORDERS = (
    Order(
        "EVERMUSE_LEASE_SECONDS",
        "EVERMUSE_HANG_SECONDS",
        "work that hangs a worker is given to the next worker before the first one has ended, and both hang",
    ),
    Order(
        "EVERMUSE_UPLOAD_QUOTA_BYTES",
        "EVERMUSE_ATTACHMENT_MAX_BYTES",
        "an upload of the largest allowed size is always refused",
        may_be_equal=True,
    ),
    Order(
        "EVERMUSE_STREAM_SECONDS",
        "EVERMUSE_READER_PAUSE_SECONDS",
        "an answer is cut off although its reader pauses for no longer than is allowed",
    ),
    Order(
        "EVERMUSE_ALERT_BACKLOG_SECONDS",
        "EVERMUSE_LEASE_SECONDS",
        "work that waits until a dead worker's lease expires raises an alert, although it needs no action",
    ),
    Order(
        "EVERMUSE_PROBLEM_STUCK_SECONDS",
        "EVERMUSE_LEASE_SECONDS",
        "work that waits until a dead worker's lease expires counts as stuck",
    ),
    Order(
        "EVERMUSE_PROBLEM_STUCK_SECONDS",
        "EVERMUSE_SWEEP_SECONDS",
        "work counts as stuck before a sweeper has looked for it",
    ),
)


def check_settings(**_: object) -> list[CheckMessage]:
    """All of them; for ``django.core.checks.register``."""
    return [
        *_secret_key(),
        *_hosts(),
        *_upload_keys(),
        *_bucket(),
        *_download_urls(),
        *_orders(),
        *_retry_window(),
        *_without_effect(),
        *_replica(),
        *_given_twice(),
        *_unknown_names(),
    ]


def _secret_key() -> Iterator[CheckMessage]:
    # Without a secret key, commands still run. `check --deploy` reports it (security.W009).
    if env.is_set("EVERMUSE_SECRET_KEY") and (fault := serving.secret_key_fault()):
        yield Error(fault, id="evermuse.E001")


def _hosts() -> Iterator[CheckMessage]:
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "EVERMUSE_ALLOWED_HOSTS contains *: a page under any host name can reach the admin (DNS rebinding).",
            hint="Name the hosts that people reach the admin by.",
            id="evermuse.W001",
        )


def _upload_keys() -> Iterator[CheckMessage]:
    fix = "Set MINIO_UPLOAD_ACCESS_KEY and MINIO_UPLOAD_SECRET_KEY to keys that may only PUT under uploads/."
    if bool(settings.MINIO_UPLOAD_ACCESS_KEY) != bool(settings.MINIO_UPLOAD_SECRET_KEY):
        yield Error(
            "Only one of MINIO_UPLOAD_ACCESS_KEY and MINIO_UPLOAD_SECRET_KEY is set.", hint=fix, id="evermuse.E003"
        )
    elif _has_store_keys() and settings.MINIO_UPLOAD_ACCESS_KEY in {"", settings.MINIO_ACCESS_KEY}:
        yield Warning(
            "Upload intents are signed with the key that reads every object. A store that honours unsigned headers, "
            "as MinIO does, lets a client copy any object.",
            hint=fix,
            id="evermuse.W003",
        )


def _has_store_keys() -> bool:
    return bool(settings.MINIO_ACCESS_KEY) or settings.MINIO_CREDENTIALS != "KEYS"


def _bucket() -> Iterator[CheckMessage]:
    # Only a warning, because web accepts batches without a store.
    if not store_address.is_bucket_name(settings.MINIO_BUCKET):
        yield Warning(
            f"MINIO_BUCKET ({setting_table.shape(settings.MINIO_BUCKET)}) is not the name of a bucket.",
            hint=f"It must be {store_address.BUCKET_RULE}.",
            id="evermuse.W007",
        )


def _download_urls() -> Iterator[CheckMessage]:
    is_for_others = bool(set(settings.ALLOWED_HOSTS) - {"127.0.0.1", "localhost"})
    if settings.EVERMUSE_DOWNLOAD_URLS == "WEB" and is_for_others and not settings.EVERMUSE_PUBLIC_URL:
        yield Warning(
            "EVERMUSE_DOWNLOAD_URLS=web without EVERMUSE_PUBLIC_URL: download URLs begin with 127.0.0.1.",
            hint="Set EVERMUSE_PUBLIC_URL to the address that clients reach the web process by.",
            id="evermuse.W004",
        )


def _orders() -> Iterator[CheckMessage]:
    for order in ORDERS:
        greater, than = _value(order.greater), _value(order.than)
        if greater == 0 or greater > than or (order.may_be_equal and greater == than):
            continue
        least = "at least" if order.may_be_equal else "greater than"
        yield Warning(
            f"{order.greater} must be {least} {order.than}. Otherwise {order.unless}.",
            hint=f"Raise {order.greater} or lower {order.than}.",
            id="evermuse.W005",
        )


def _retry_window() -> Iterator[CheckMessage]:
    policy = retry_policy.downloads()
    if policy.window is not None and policy.window < policy.span:
        yield Warning(
            f"EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS must be at least {ceil(policy.span)}, the waits between "
            "EVERMUSE_ATTACHMENT_MAX_ATTEMPTS attempts. Otherwise the last attempts are not made.",
            hint="Raise EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS or lower EVERMUSE_ATTACHMENT_MAX_ATTEMPTS.",
            id="evermuse.W006",
        )


def _without_effect() -> Iterator[CheckMessage]:
    for name, needed in WITHOUT_EFFECT:
        if env.is_set(name) and not env.is_set(needed):
            yield Warning(
                f"{name} is set and has no effect without {needed}.",
                hint=f"Set {needed}, or remove {name}.",
                id="evermuse.W008",
            )


def _replica() -> Iterator[CheckMessage]:
    if env.is_set("DATABASE_REPLICA_URL") and env.text("DATABASE_REPLICA_URL") == env.text("DATABASE_URL", ""):
        yield Warning(
            "DATABASE_REPLICA_URL is the same as DATABASE_URL: each list asks the primary twice.",
            hint="Set DATABASE_REPLICA_URL to a standby, or remove it.",
            id="evermuse.W009",
        )


def _given_twice() -> Iterator[CheckMessage]:
    for name in sorted(setting_table.names()):
        if os.environ.get(name) and os.environ.get(f"{name}_FILE"):
            yield Warning(
                f"{name} and {name}_FILE are both set: the file is not read.",
                hint=f"Remove {name} or {name}_FILE.",
                id="evermuse.W010",
            )


def _value(name: str) -> int:
    # Read where it is used, not among Django's settings.
    value: int = celery.SWEEP_SECONDS if name == "EVERMUSE_SWEEP_SECONDS" else getattr(settings, name)
    return value


def _unknown_names() -> Iterator[CheckMessage]:
    known = setting_table.names() | READ_ELSEWHERE
    for name in sorted(os.environ):
        plain = name.removesuffix("_FILE")
        if plain in known or name in known or SERVICE_LINK.search(name):
            continue
        near = difflib.get_close_matches(plain, known, n=1)
        is_typo = name.startswith(OTHER_PREFIXES) and difflib.get_close_matches(plain, known, n=1, cutoff=TYPO)
        if name.startswith(PREFIX) or is_typo:
            yield Warning(
                f"{name} is set, but nothing reads it.",
                hint=f"Did you mean {near[0]}?" if near else "Remove it: /docs/configure.html lists all settings.",
                id="evermuse.W002",
            )
