"""Every failure is counted once, in its problem."""

import threading
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from attachments.models import Attachment
from evermuse.advisory_locks import AdvisoryLock
from ingest.activity import pointers
from ingest.models import Batch
from ingest.pipeline import claims, transitions
from ingest.pipeline import landing as pipeline
from ingest.problems import collector, sightings
from ingest.problems.models import Problem, ProblemBatch, ProblemHour
from lake.models import RejectedRecord
from tests.attachments.journey import tell_lanes
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

BAD = {"id": "p", "role": "internal", "email": "no address"}


def groups() -> set[tuple[str, str, str, int]]:
    """Returns all problems of the inbox."""
    return {(p.kind, p.code, p.field, p.count) for p in Problem.objects.all()}


def test_pointers_are_generalised_and_shortened() -> None:
    assert pointers.generalise("/_participants/0/email") == "/_participants/*/email"
    assert pointers.generalise("/_vendor_ids/any key/x") == "/_vendor_ids/*/*"
    assert pointers.generalise("/_event_at") == "/_event_at"
    assert pointers.generalise("") == ""
    assert pointers.generalise("/\0") == "/\ufffd"
    assert pointers.generalise("/\ud800") == "/?"
    assert len(pointers.generalise("/x" * 500)) == pointers.MAX_FIELD
    assert pointers.in_words("/_participants/*/email") == "_participants[].email"


def test_unknown_field_names_are_left_out_of_alerts() -> None:
    assert pointers.without_client_names("/_participants/*/email") == "/_participants/*/email"
    assert pointers.without_client_names("/jane@example.com") == "/*"


def test_rejected_records_are_grouped_by_code_and_field_and_counted_once(api: ApiClient) -> None:
    send_and_land(api, [record(), record(participants=[BAD, BAD]), record(participants=[BAD]), record(event_at="x")])
    collector.collect()
    assert groups() == {
        ("RECORDS", "VALIDATION_ERROR", "/_participants/*/email", 2),
        ("RECORDS", "VALIDATION_ERROR", "/_event_at", 1),
    }
    assert collector.collect() == 0
    problem = Problem.objects.get(field="/_participants/*/email")
    assert (problem.sample_index, problem.party, problem.state) == (2, "api", "OPEN")
    assert [(m.count) for m in ProblemBatch.objects.filter(problem=problem)] == [2]
    assert sum(h.count for h in ProblemHour.objects.filter(problem=problem)) == 2


def test_rejected_records_are_counted_after_their_batch_has_landed(api: ApiClient) -> None:
    api.post([record(), record(event_at="x")])
    assert (collector.collect(), RejectedRecord.objects.count()) == (0, 1)
    pipeline.land_waiting()
    assert (collector.collect(), collector.collect()) == (1, 0)
    assert groups() == {("RECORDS", "VALIDATION_ERROR", "/_event_at", 1)}


def test_batch_without_accepted_records_is_counted_at_once(api: ApiClient) -> None:
    api.post(record(product_id="unheard-of"))
    collector.collect()
    assert groups() == {("RECORDS", "UNKNOWN_PRODUCT", "/_product_id", 1)}


def test_record_rejected_again_after_a_retry_is_counted_again(api: ApiClient) -> None:
    batch_id = int(api.post(record(product_id="unheard-of")).json()["details"]["batchId"][6:])
    collector.collect()
    assert transitions.reopen(batch_id)
    pipeline.land_waiting()
    collector.collect()
    assert Problem.objects.get().count == 2
    assert ProblemBatch.objects.get().count == 2


def test_problems_are_separate_for_each_workspace_and_source(
    new_client: Callable[..., ApiClient], other_workspace: object
) -> None:
    for options in ({"source": "crm"}, {"source": "mail"}, {"of": other_workspace, "source": "crm"}):
        new_client(**options).post(record(event_at="x"))
    collector.collect()
    assert sorted((p.party, p.count) for p in Problem.objects.all()) == [("crm", 1), ("crm", 1), ("mail", 1)]


def test_number_of_problems_with_names_chosen_by_a_client_is_limited(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sightings, "MAX_GROUPS_OF_A_CLIENT", 3)
    for name in "abcde":
        api.post({**record(), name: 1})
        collector.collect()
    assert {(p.field, p.count) for p in Problem.objects.all()} == {("/a", 1), ("/b", 1), ("/c", 1), ("/*", 2)}


def test_field_name_with_nul_is_counted(api: ApiClient) -> None:
    api.post(b'{"a\\u0000b": 1}')
    collector.collect()
    assert Problem.objects.filter(field="/a\ufffdb").exists()


def failed_file(api: ApiClient, *, code: str = "HTTP_404", host: str = "files.example:443") -> Attachment:
    """A file that has failed."""
    send_and_land(api, record(attachments=[{"type": "audio", "vendor_url": f"https://{host}/x"}]))
    Attachment.objects.filter(state="PENDING").update(
        state="FAILED", error_code=code, error_message="HTTP 404", host=host, claim_token=1, completed_at=timezone.now()
    )
    found = Attachment.objects.order_by("-id").first()
    assert found is not None
    return found


def test_failed_files_are_grouped_by_code_and_host_and_counted_at_each_failure(api: ApiClient) -> None:
    file = failed_file(api)
    collector.collect()
    collector.collect()
    assert [(p.kind, p.code, p.party, p.count, p.sample_attachment) for p in Problem.objects.all()] == [
        ("FILES", "HTTP_404", "files.example:443", 1, file.pk)
    ]
    Attachment.objects.update(claim_token=2)
    collector.collect()
    assert Problem.objects.get().count == 2


def test_batch_that_was_given_up_becomes_a_problem(api: ApiClient) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    Batch.objects.update(lone_crashes=9, crashes=9, claimed_alone=True, claimed_until=timezone.now() - timedelta(1))
    claims.claim()
    collector.collect()
    problem = Problem.objects.get()
    assert (problem.kind, problem.code, problem.sample_batch) == ("BATCHES", "BATCH_GIVEN_UP", poison)
    assert "given up" in problem.sample_message


def test_stuck_batches_open_a_problem_that_resolves_itself(api: ApiClient) -> None:
    api.post(record())
    Batch.objects.update(created_at=timezone.now() - timedelta(hours=1))
    collector.measure()
    assert not Problem.objects.exists()  # the batch waits, and nothing has failed
    Batch.objects.update(failure="object store: connection refused", failure_code="STORE_UNAVAILABLE")
    collector.measure()
    collector.measure()
    problem = Problem.objects.get()
    assert (problem.kind, problem.field, problem.count, problem.state) == ("WAITING_BATCHES", "object store", 1, "OPEN")
    pipeline.land_waiting()
    collector.measure()
    problem.refresh_from_db()
    assert (problem.count, problem.state, problem.is_alert_due) == (0, "RESOLVED", False)


def test_stuck_batches_are_counted_while_a_rollup_runs(api: ApiClient) -> None:
    api.post(record())
    Batch.objects.update(created_at=timezone.now() - timedelta(hours=1), failure_code="STORE_UNAVAILABLE")
    parameters = connection.get_connection_params()
    other = psycopg.connect(**{k: parameters[k] for k in ("host", "port", "user", "password", "dbname")})
    with other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int(AdvisoryLock.ROLL_UP)])
        collector.measure()
    assert Problem.objects.get().count == 1


def test_files_behind_a_paused_host_become_a_problem(api: ApiClient) -> None:
    send_and_land(api, record(attachments=[{"type": "audio", "vendor_url": "https://files.example/x"}]))
    collector.measure()
    assert not Problem.objects.exists()
    Attachment.objects.update(next_attempt_at=timezone.now() - timedelta(hours=1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE attachments_vendorhost SET paused_at = now()")
    tell_lanes()
    collector.measure()
    problem = Problem.objects.get()
    assert (problem.kind, problem.count, problem.sample_message) == ("WAITING_FILES", 1, "the host is paused")


@pytest.mark.django_db(transaction=True)
def test_simultaneous_collectors_count_every_failure_once(
    new_client: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "SLICE", 7)
    monkeypatch.setattr(collector, "MAX_SLICES", 1000)
    clients = [new_client(source=f"s{n}") for n in range(3)]
    for _ in range(4):
        for client in clients:
            client.post([record(event_at="x", schema_version="2") for _ in range(15)])
    faults: list[Exception] = []

    def run() -> None:
        try:
            collector.collect()
        except Exception as error:
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    collector.collect()
    assert {(p.party, p.field, p.count) for p in Problem.objects.all()} == {
        (f"s{n}", field, 60) for n in range(3) for field in ("/_event_at", "/_schema_version")
    }
    assert sum(m.count for m in ProblemBatch.objects.all()) == sum(h.count for h in ProblemHour.objects.all()) == 360


@pytest.mark.django_db(transaction=True)
def test_failed_collector_counts_nothing_and_the_next_one_counts_everything(
    new_client: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    new_client().post(record(event_at="x"))
    with monkeypatch.context() as patch:
        patch.setattr("ingest.problems.sql.COUNT_BATCHES", "INSERT INTO nowhere VALUES (%s, %s, %s, %s)")
        with pytest.raises(Exception, match="nowhere"):
            collector.collect()
    assert not Problem.objects.exists()
    collector.collect()
    assert Problem.objects.get().count == 1
