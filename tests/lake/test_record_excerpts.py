"""The list of records shows ids, participants and first words to users who may see payloads."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from lake import record_excerpts
from lake.models import Record
from lake.record_excerpts import Excerpt
from tests.http_client import ApiClient
from tests.ingest.admin.conftest import login as login
from tests.ingest.landing import send_and_land
from tests.records import record


def excerpt(api: ApiClient, sent: object) -> Excerpt | None:
    send_and_land(api, [sent])
    return record_excerpts.of([Record.objects.get()]).get(Record.objects.get().id)


def test_excerpt_names_vendor_ids_thread_and_participants(api: ApiClient) -> None:
    people = [{"id": f"p{n}", "role": "external", "name": f"Person {n}"} for n in range(5)]
    sent = record(
        vendor_ids={"crm": "4711"}, thread_id="t-1", participants=people, data={"n": 1, "text": "Hello there"}
    )
    assert excerpt(api, sent) == Excerpt("crm:4711", "t-1", "Person 0, Person 1, Person 2 and 2 more", "Hello there")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"a": {"b": ["one", {"c": "two"}]}}', "one two"),
        ('{"s": "\\ud800 half"}', "? half"),
        ('{"s": "nul \\u0000"}', "nul ␀"),
        ('{"n": 1}', ""),
        ('{"s": "' + "x" * 500 + '"}', "x" * 140 + "…"),
    ],
)
def test_first_words_of_any_data_can_be_shown(data: str, words: str) -> None:
    assert record_excerpts._first_words(data.encode()) == words


def test_large_record_has_no_excerpt(api: ApiClient) -> None:
    assert excerpt(api, record(data={"text": "z" * record_excerpts.LARGEST})) is None


def test_operator_sees_excerpts_and_the_audit_log_records_it(api: ApiClient, login: Callable[[str], Client]) -> None:
    send_and_land(api, [record(thread_id="thread-of-the-list", data={"text": "words of the list"})])
    url = reverse("admin:lake_record_changelist")
    page = login("operator").get(url).content.decode()
    assert "thread-of-the-list" in page
    assert "words of the list" in page
    assert LogEntry.objects.filter(change_message="Records listed with their first words").count() == 1
    page = login("viewer").get(url).content.decode()
    assert "thread-of-the-list" not in page
    assert "words of the list" not in page


def test_list_of_records_takes_a_bounded_number_of_queries(
    api: ApiClient, login: Callable[[str], Client], django_assert_max_num_queries: Callable[..., object]
) -> None:
    send_and_land(api, [record(vendor_ids={"n": str(n)}) for n in range(30)])
    operator = login("operator")
    with django_assert_max_num_queries(20):  # type: ignore[attr-defined]
        operator.get(reverse("admin:lake_record_changelist"))
