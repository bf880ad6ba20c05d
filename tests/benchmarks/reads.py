"""The product's reads, called in this process on one of two databases, and the plans of their statements."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
django.setup()

import msgspec  # noqa: E402
import psycopg  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402

from ingest import parsers  # noqa: E402
from ingest.activity import rollup  # noqa: E402
from ingest.activity.models import RollupState  # noqa: E402
from ingest.clients import api_keys  # noqa: E402
from ingest.models import Batch, Workspace  # noqa: E402
from lake import common_terms, frames, index  # noqa: E402
from lake.envelope import Envelope  # noqa: E402
from lake.landing import LandedRecord, prepare  # noqa: E402
from lake.models import Payload, Record  # noqa: E402
from tests.benchmarks import data  # noqa: E402
from tests.benchmarks.grown import PLAN_SETTINGS, Grown  # noqa: E402

# A measurement ends after this many requests, or this many seconds.
REQUESTS, SECONDS = 30, 0.6
LONGEST_PLAN = 4000
_decode = msgspec.json.Decoder(Envelope).decode


@dataclass
class Place:
    """A database with a client of its large workspace, an operator, and records that have really landed."""

    grown: Grown
    client: Client
    operator: Client
    sample: list[LandedRecord]

    @property
    def name(self) -> str:
        return self.grown.dsn.rsplit("/", 1)[1]


def use(dsn: str) -> None:
    """Connects Django to a database."""
    connection.close()
    connection.settings_dict["NAME"] = dsn.rsplit("/", 1)[1]
    common_terms.forget()


def open_place(grown: Grown) -> Place:
    """Makes a key, an operator, and a new batch of 1,000 records with known vendor ids."""
    use(grown.dsn)
    workspace = Workspace.objects.get(name="grown-1")
    key = api_keys.create(workspace=workspace, label="bench", rate_limit=0).secret
    client = Client(headers={"x-api-key": key}, SERVER_NAME="127.0.0.1")
    operator = Client(SERVER_NAME="127.0.0.1")
    operator.force_login(get_user_model().objects.create_superuser("bench", password=None))
    sample = upsert(1, None)[0]
    return Place(grown, client, operator, sample)


def upsert(batches: int, again: Sequence[LandedRecord] | None) -> list[list[LandedRecord]]:
    """Lands batches of 1,000 records, new or repeated, with one commit each, without measuring."""
    made = [prepare_batch(again) for _ in range(batches)]
    for one in made:
        commit(one)
    return [list(one.records) for one in made]


def prepare_batch(again: Sequence[LandedRecord] | None = None) -> index.IndexedBatch:
    """Prepares a batch of 1,000 records of the large workspace for the index."""
    workspace = Workspace.objects.get(name="grown-1")
    batch = Batch.objects.create(
        workspace=workspace, source="api", type="conversation", created_at=datetime.now(UTC), status="COMPLETE",
        record_count=1000, accepted_count=1000, rejected_count=0, error_count=0,
    )  # fmt: skip
    return index.IndexedBatch(batch.pk, workspace.pk, datetime.now(UTC), datetime.now(UTC), again or _sent(batch))


def _sent(batch: Batch) -> list[LandedRecord]:
    """Makes a thousand new records and their payload."""
    body = data.ndjson(1000)
    content, ends = frames.pack(body)
    Payload.objects.create(batch=batch, media_type=Payload.Media.NDJSON, size=len(body), frames=ends, content=content)
    split = parsers.split(body, Payload.Media.NDJSON)
    envelopes = [(i, _decode(raw)) for i, raw in enumerate(split.raws)]
    return prepare(envelopes, batch.workspace_id, split.places(batch.pk))


def commit(batch: index.IndexedBatch) -> None:
    """Upserts one batch durably."""
    with transaction.atomic():
        index.upsert([batch])


def roll_up() -> None:
    """Runs rollups until they have caught up with the present."""
    while rollup.roll_up() and RollupState.objects.get().closed_through < datetime.now(UTC) - timedelta(minutes=5):
        pass


def forget(batch_ids: Sequence[int]) -> None:
    """Deletes records, so that the small database stays small."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM lake_record WHERE batch_id = ANY(%s)", [list(batch_ids)])
        cursor.execute("VACUUM lake_record")


def get(client: Client, path: str) -> bytes:
    """Returns the content of an answer, which must have status 200."""
    answer = client.get(path)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]
    if answer.status_code != 200:
        raise AssertionError(f"{path}: {answer.status_code} {content[:300]!r}")
    return content


def rate(work: Callable[[], object]) -> float:
    """Returns runs per second. The first two do not count: they open the connection and fill caches."""
    work(), work()
    began, count = time.perf_counter(), 0
    while count < REQUESTS and time.perf_counter() - began < SECONDS:
        work()
        count += 1
    return count / (time.perf_counter() - began)


@contextmanager
def plans(found: list[str]) -> Iterator[None]:
    """Adds the plan of every statement in the block to a list."""
    connection.ensure_connection()
    raw: psycopg.Connection[tuple[object, ...]] = connection.connection

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        text = diagnostic.message_primary or ""
        if "Query Text:" in text and "ingest_apikey" not in text:
            found.append(text if len(text) <= LONGEST_PLAN else f"{text[:LONGEST_PLAN]} …")

    with psycopg.Cursor(raw) as cursor:
        for parameter, value in PLAN_SETTINGS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [parameter, value])
    raw.add_notice_handler(note)
    try:
        yield
    finally:
        raw.remove_notice_handler(note)
        connection.close()


def an_hour_before_the_end() -> str:
    """Returns a time near the end of the loaded data."""
    return _text(datetime.now(UTC) - timedelta(hours=3))


def the_middle() -> str:
    """Returns a time in the middle of the loaded data."""
    return _text(datetime.now(UTC) - timedelta(days=180))


def _text(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def any_record() -> str:
    """Returns the id of a loaded record of the large workspace."""
    return Record.objects.filter(workspace__name="grown-1")[1000].public_id


def any_batch() -> str:
    """Returns the id of a loaded batch of the large workspace."""
    return Batch.objects.filter(workspace__name="grown-1")[500].public_id
