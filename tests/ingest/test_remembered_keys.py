"""A batch is accepted with a cached key; a change of the key since then still takes effect at once."""

import contextlib
import gc
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import RequestFactory
from django.utils import timezone
from psycopg import pq

from evermuse import prepared, public_ids, wake
from ingest.admission import admit as admission
from ingest.admission import idempotency
from ingest.admission.bodies import Body
from ingest.api import throttles
from ingest.api.batches import IngestView
from ingest.api.permissions import READ
from ingest.clients import api_keys
from ingest.clients import credentials as authentication
from ingest.models import ApiKey, Batch, Product, Project, Workspace
from lake import landing
from tests.http_client import INGEST, JSON, NDJSON, ApiClient
from tests.journeys.stack import until
from tests.records import record


class Lookups:
    """Counts the lookups of keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._real = authentication._select
        monkeypatch.setattr(authentication, "_select", self._select)

    def _select(self, digest: bytes) -> Any:
        self.count += 1
        return self._real(digest)


@pytest.fixture
def known(api: ApiClient) -> Iterator[ApiClient]:
    """A client whose key is in the cache."""
    for _ in range(2):  # the first request stores when the key was used, which changes the key
        assert api.post(record()).status_code == 202
    yield api
    authentication._cache.clear()


@pytest.fixture
def lookups(known: ApiClient, monkeypatch: pytest.MonkeyPatch) -> Lookups:
    return Lookups(monkeypatch)


def key_of(client: ApiClient) -> ApiKey:
    return ApiKey.objects.get(digest=api_keys.digest(client.key))


def test_batch_is_accepted_with_a_cached_key_without_a_lookup(known: ApiClient, lookups: Lookups) -> None:
    answers = [known.post(record()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert lookups.count == 0
    found = Batch.objects.get(id=int(answers[-1].json()["batchId"][6:]))
    assert (found.workspace, found.api_key, found.source) == (key_of(known).workspace, key_of(known), "api")


@pytest.mark.parametrize(
    "change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(seconds=1)}, None]
)
def test_revoked_expired_or_deleted_key_is_rejected_despite_the_cache(
    known: ApiClient, change: dict[str, Any] | None
) -> None:
    mine = ApiKey.objects.filter(pk=key_of(known).pk)
    before = Batch.objects.count()
    if change is None:
        mine.delete()
    else:
        mine.update(**change)
    assert [known.post(record()).status_code for _ in range(2)] == [401, 401]
    assert Batch.objects.count() == before


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"", {}),
        (b"x" * (5 * 1024 * 1024 + 1), {}),
        ({"_type": "nonsense"}, {}),
        ([record(), {}], {}),
        (record(), {"Content-Encoding": "br"}),
        (record(), {"Idempotency-Key": "k"}),
        (record(), {"Idempotency-Key": "k" * 257}),
    ],
)
def test_invalid_request_with_a_revoked_key_gets_a_401(known: ApiClient, body: Any, headers: dict[str, str]) -> None:
    ApiKey.objects.filter(pk=key_of(known).pk).update(revoked_at=timezone.now())
    before = Batch.objects.count()
    assert known.post(body, **headers).status_code == 401
    assert Batch.objects.count() == before


def test_revoked_key_over_its_rate_limit_gets_a_401(known: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttles.limiter, "wait", lambda key, limit: 1)
    assert known.post(record()).status_code == 429
    ApiKey.objects.filter(pk=key_of(known).pk).update(revoked_at=timezone.now())
    assert known.post(record()).status_code == 401


def test_removed_permission_takes_effect_at_once(known: ApiClient) -> None:
    ApiKey.objects.filter(pk=key_of(known).pk).update(permissions=[READ])
    assert known.post(record()).status_code == 403


def test_added_and_removed_projects_take_effect_at_once(known: ApiClient, workspace: Workspace) -> None:
    assert known.post(record(project_ids=["proj-new"])).status_code == 400
    product = Product.objects.get(workspace=workspace)
    added = Project.objects.create(workspace=workspace, product=product, project_id="proj-new")
    assert known.post(record(project_ids=["proj-new"])).status_code == 202
    added.delete()
    assert known.post(record(project_ids=["proj-new"])).status_code == 400
    assert known.post(record()).status_code == 202


def test_changed_source_of_a_key_applies_to_the_next_batch(known: ApiClient) -> None:
    ApiKey.objects.filter(pk=key_of(known).pk).update(source="crm")
    batch_id = known.post(record()).json()["batchId"]
    assert known.batch(batch_id)["source"] == "crm"


def test_request_that_is_repeated_with_a_lookup_is_counted_and_stored_once(
    known: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def wait(key: str, limit: int) -> int:
        asked.append(key)
        return 0

    monkeypatch.setattr(throttles.limiter, "wait", wait)
    before = Batch.objects.count()
    body = b'{"_type":"x"}\n'
    assert known.post(body, content_type=NDJSON).status_code == 400
    assert known.post([record(), {}]).status_code == 202
    ApiKey.objects.filter(pk=key_of(known).pk).update(source="other")
    assert known.post(record()).status_code == 202
    assert len(asked) == 3
    assert Batch.objects.count() - before == 3


def test_last_use_of_a_cached_key_is_updated_after_a_while(known: ApiClient, lookups: Lookups) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    ApiKey.objects.filter(pk=key_of(known).pk).update(last_used_at=long_ago)
    assert known.post(record()).status_code == 202
    assert key_of(known).last_used_at > long_ago  # type: ignore[operator]


def test_cache_of_keys_is_bounded(
    known: ApiClient, new_client: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CACHED_KEYS", 3)
    for client in [new_client() for _ in range(8)]:
        # The first request of a key stores when it was used, so the second one is the first that caches it.
        answers = [client.post(record()) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202] * 2, [answer.content for answer in answers]
        assert 1 <= len(authentication._cache) <= 3
    assert known.post(record()).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_closed_database_connection_is_reopened_before_a_batch_is_stored(known: ApiClient) -> None:
    mine = connection.connection.info.backend_pid
    before = Batch.objects.count()

    def end_it() -> None:
        with connection.cursor() as cursor:  # a connection of this thread
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [mine])
        connection.close()

    other = threading.Thread(target=end_it)
    other.start()
    other.join()
    assert not prepared.is_alive()
    assert [known.post(record()).status_code for _ in range(2)] == [202, 202]
    assert Batch.objects.count() - before == 2


@pytest.mark.django_db(transaction=True)
def test_cached_key_is_compared_outside_of_a_transaction_too(known: ApiClient, lookups: Lookups) -> None:
    assert known.post(record(data={"text": "ä\u0000", "n": [1] * 40_000})).status_code == 202
    assert lookups.count == 0
    ApiKey.objects.filter(pk=key_of(known).pk).update(revoked_at=timezone.now())
    assert known.post(record()).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_batches_are_accepted_after_a_transaction_was_rolled_back(known: ApiClient) -> None:
    """After a rollback, psycopg makes the server forget all prepared statements."""
    assert known.post([record(), record(type="call")], **{"Idempotency-Key": "k"}).status_code == 400
    assert [known.post(record()).status_code for _ in range(3)] == [202] * 3


@pytest.mark.django_db(transaction=True)
def test_connection_cut_during_the_insert_gets_a_503_and_the_next_requests_succeed(known: ApiClient) -> None:
    """The insert waits for a lock while its connection is terminated."""
    mine, told = connection.connection.info.backend_pid, threading.Event()
    parameters = connection.get_connection_params() | {"autocommit": True}

    def cut() -> None:
        with psycopg.connect(**parameters) as other, other.transaction():
            other.execute("LOCK TABLE ingest_batch IN EXCLUSIVE MODE")
            told.set()
            waits = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            until(lambda: other.execute(waits, [mine]).fetchone() == (1,), "the insert waits for the lock")
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [mine])

    thread = threading.Thread(target=cut)
    thread.start()
    told.wait()
    assert known.post(record()).status_code == 503
    thread.join()
    assert [known.post(record()).status_code for _ in range(2)] == [202, 202]


def test_connection_closed_without_an_error_message_raises_operational_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Result:
        status = pq.ExecStatus.FATAL_ERROR

        def error_field(self, field: object) -> None:
            return None

        def get_error_message(self) -> str:
            return "server closed the connection unexpectedly"

    with pytest.raises(psycopg.OperationalError, match="unexpectedly"):
        prepared._checked(Result(), pq.ExecStatus.TUPLES_OK)  # type: ignore[arg-type]


def test_query_with_too_many_parameters_and_a_revoked_key_gets_a_401(known: ApiClient) -> None:
    many = "&".join(f"a={n}" for n in range(1100))
    assert known.post(record(), query=many).json()["error"] == "INVALID_BODY"
    ApiKey.objects.filter(pk=key_of(known).pk).update(revoked_at=timezone.now())
    assert known.post(record(), query=many).status_code == 401


def test_partly_accepted_batch_needs_no_lookup(known: ApiClient, lookups: Lookups) -> None:
    answer = known.post([record(), {}])
    assert (answer.status_code, answer.json()["acceptedCount"], lookups.count) == (202, 1, 0)
    assert len(known.rows(answer.json()["batchId"], "errors")) == 1


def test_batch_is_stored_once_even_if_no_thread_can_publish_its_wake_up(
    known: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, before = wake.Publisher(wake.LAND), Batch.objects.count()
    monkeypatch.setattr(wake, "_publisher", publisher)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "wake-ups":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert known.post(record()).status_code == 202
    assert Batch.objects.count() == before + 1


def test_request_is_freed_without_the_garbage_collector(known: ApiClient) -> None:
    gc.collect()
    gc.disable()
    try:
        request = RequestFactory().post(
            INGEST, data=json.dumps(record()), content_type=JSON, headers={"x-api-key": known.key}
        )
        assert IngestView.as_view()(request).status_code == 202
        is_there = weakref.ref(request)
        del request
        assert is_there() is None
    finally:
        gc.enable()


@pytest.mark.django_db(transaction=True)
def test_batch_accepted_with_a_cached_key_is_stored_like_one_accepted_after_a_lookup(known: ApiClient) -> None:
    """The fast path uses libpq and compares the key; the plain one looks the key up and runs in a transaction."""

    def stored() -> dict[str, Any]:
        batch = Batch.objects.select_related("payload").order_by("-id").values(*fields).first()
        assert batch is not None
        return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in batch.items()}

    mine = {f.name for f in Batch._meta.concrete_fields} - {"id", "created_at"}
    fields = [
        *sorted(mine),
        "payload__media_type",
        "payload__query",
        "payload__size",
        "payload__frames",
        "payload__content",
    ]
    bodies = [[record(data={"text": "ä\u0000", "n": [1] * 40_000})], [record(), {}], record()]
    for body in bodies:
        assert known.post(body, query="format=text").status_code == 202
        fast = stored()
        authentication._cache.clear()
        with transaction.atomic():
            assert known.post(body, query="format=text").status_code == 202
        plain = stored()
        assert fast == plain


def test_body_without_a_valid_record_is_examined_once(
    known: ApiClient, lookups: Lookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[int] = []
    plain = landing.examine

    def examine(raws: Any, *given: Any, **named: Any) -> landing.Verdict:
        examined.append(len(raws))
        return plain(raws, *given, **named)

    monkeypatch.setattr(admission, "examine", examine)
    answer = known.post([{}, record(event_at="x")])
    assert (answer.status_code, answer.json()["details"]["rejectedCount"]) == (400, 2)
    assert (examined, lookups.count) == ([2], 1)
    # The lookup shows that the workspace still has the same products and projects.
    assert known.post(record(product_id="new")).status_code == 400
    assert (examined, lookups.count) == ([2, 1], 2)
    Product.objects.create(workspace=key_of(known).workspace, product_id="new")
    assert known.post(record(product_id="new")).status_code == 202
    assert (examined, lookups.count) == ([2, 1, 1, 1], 3)


@pytest.mark.django_db(transaction=True)
def test_batch_with_an_idempotency_key_is_accepted_without_a_lookup_and_replayed(
    known: ApiClient, lookups: Lookups
) -> None:
    before = Batch.objects.count()
    sent = json.dumps([record(), record()]).encode()
    first = known.post(sent, **{"Idempotency-Key": "k"})
    assert (first.status_code, lookups.count) == (202, 0)
    again = known.post(sent, **{"Idempotency-Key": "k"})
    assert (again.status_code, again.content, again.get("Idempotent-Replayed")) == (202, first.content, "true")
    assert again.json()["batchId"] == public_ids.of_batch(Batch.objects.latest("id").id)
    assert Batch.objects.count() == before + 1


@pytest.mark.parametrize("body", [b"{", b"[]", {"another": 1}, [record(), {}], record()])
def test_used_idempotency_key_precedes_what_is_wrong_with_the_body(known: ApiClient, body: Any) -> None:
    assert known.post(record(), **{"Idempotency-Key": "k"}).status_code == 202
    assert known.post(body, **{"Idempotency-Key": "k"}).json()["error"] == "IDEMPOTENCY_KEY_REUSED"


def test_body_with_an_idempotency_key_is_examined_once_whatever_is_wrong_with_it(
    known: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined: list[Body] = []
    real = admission.examine_body

    def examine_body(body: Body, credentials: authentication.Credentials) -> landing.Verdict:
        examined.append(body)
        return real(body, credentials)

    monkeypatch.setattr(admission, "examine_body", examine_body)
    answers = [known.post(body, **{"Idempotency-Key": "k"}) for body in (b"{", b"[]", {"_type": "x"}, [record(), {}])]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 202]
    assert len(examined) == 4
    assert known.post(record(), **{"Idempotency-Key": "k2"}).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_idempotency_key_that_another_request_holds_gets_a_409(known: ApiClient) -> None:
    before = Batch.objects.count()
    given = idempotency.parameters(key_of(known).workspace_id, "k", b"", "")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [given["idempotency_lock"]])
        answer = known.post(record(), **{"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["error"]) == (409, "IDEMPOTENCY_IN_PROGRESS")
    assert Batch.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_answer_that_is_committed_while_the_batch_is_stored_is_replayed(known: ApiClient) -> None:
    sent, mine = json.dumps(record()).encode(), key_of(known)
    submission = admission.Submission(authentication.identify(known.key), Body(JSON, sent))
    count, batch = Batch.objects.count(), Batch.objects.latest("id")
    digest = idempotency.parameters(mine.workspace_id, "k", b"", "")["idempotency_key"]

    def post() -> Any:
        with contextlib.closing(connection):
            return known.post(sent, **{"Idempotency-Key": "k"})

    with psycopg.connect(**connection.get_connection_params()) as other, ThreadPoolExecutor(1) as pool:
        other.execute(
            "INSERT INTO ingest_idempotencykey (workspace_id, key, fingerprint, batch_id, answer, created_at) "
            "VALUES (%s, %s, %s, %s, '{}', clock_timestamp())",
            [mine.workspace_id, digest, submission.fingerprint(), batch.id],
        )
        posted = pool.submit(post)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'"
        with psycopg.connect(**connection.get_connection_params() | {"autocommit": True}) as watcher:
            until(
                lambda: watcher.execute(waiting).fetchone() == (1,), "the insert waits for the other answer", seconds=20
            )
        other.commit()
        answer = posted.result(30)
    assert (answer.status_code, answer.content, answer.get("Idempotent-Replayed")) == (202, b"{}", "true")
    assert Batch.objects.count() == count
