"""Filters on vendor ids: it is always certain which colon ends the key."""

import importlib
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from lake import terms
from lake.models import Record
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.lake.index_rows import previous_columns, stored_terms
from tests.records import record

__all__ = ["previous_columns"]

RECORDS = "/api/v1/records"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text("a:%235A", max_size=6)


def found(api: ApiClient, vendor_id: str) -> list[dict[str, str]]:
    """Returns the vendor ids of the records that a filter finds; encodes the filter for the URL."""
    page = api.get(RECORDS, f"vendor_id={quote(vendor_id, safe='')}").json()
    return [row["record"]["_vendor_ids"] for row in page["records"]]


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ("a:b:X", {"a": "b:X"}),
        ("a%3Ab:X", {"a:b": "X"}),
        ("a%3ab:X", {"a:b": "X"}),
        ("50%25:X", {"50%": "X"}),
        ("50%2525:X", {"50%25": "X"}),
        ("plain:50%", {"plain": "50%"}),
        ("caf%C3%A9%20x:X", {"café x": "X"}),
        ("café x:X", {"café x": "X"}),
        (":X", {"": "X"}),
    ],
)
def test_vendor_id_filter_finds_exactly_the_record_that_it_names(
    api: ApiClient, filter_: str, expected: dict[str, str]
) -> None:
    everything = [
        {"a": "b:X"},
        {"a:b": "X"},
        {"50%": "X"},
        {"50%25": "X"},
        {"plain": "50%"},
        {"café x": "X"},
        {"": "X"},
    ]
    send_and_land(api, [record(vendor_ids=ids) for ids in everything])
    assert found(api, filter_) == [expected]


@pytest.mark.parametrize("filter_", ["nocolon", "50%:X", "%:X", "%2:X", "%zz:X", "%ff:X"])
def test_malformed_vendor_id_filter_is_rejected_with_the_rule(api: ApiClient, filter_: str) -> None:
    answer = api.get(RECORDS, f"vendor_id={quote(filter_, safe='')}")
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")
    assert answer.json()["message"].startswith("vendor_id ")


@given(texts, texts, texts, texts)
def test_different_vendor_ids_never_have_the_same_text(key: str, value: str, other: str, another: str) -> None:
    assert (terms.vendor_id(key, value) == terms.vendor_id(other, another)) == ((key, value) == (other, another))
    assert terms.vendor_id_of(terms.vendor_id(key, value)) == terms.vendor_id(key, value)
    assert terms.vendor_id_of(f"{quote(key, safe='')}:{value}") == terms.vendor_id(key, value)


def test_migration_distinguishes_the_vendor_ids_of_older_records(api: ApiClient, previous_columns: None) -> None:
    deep = {"a:b": "deep"}
    send_and_land(api, [record(vendor_ids={"a": "b:X"}), record(vendor_ids={"a:b": "X", "k": "v"}, tags=["t"])])
    send_and_land(api, record(vendor_ids=deep, data={"text": "\ud800"}))
    wanted = {row.pk: sorted(row.terms or ()) for row in Record.objects.all()}
    for row in Record.objects.all():
        workspace, has = row.workspace_id, row.terms or []
        for old, new in (("a:b:X", "a%3Ab:X"), ("a:b:deep", "a%3Ab:deep")):
            if terms.term(workspace, "vendor", new) in has:
                kept = [one for one in has if one != terms.term(workspace, "vendor", new)]
                Record.objects.filter(pk=row.pk).update(terms=[*kept, terms.term(workspace, "vendor", old)])
    assert len(found(api, "a:b:X")) == 2
    migration = importlib.import_module("lake.migrations.0008_vendor_keys")
    with connection.schema_editor(atomic=False) as editor:
        migration.tell_keys_apart(apps, editor)
        migration.tell_keys_apart(apps, editor)
    assert found(api, "a:b:X") == [{"a": "b:X"}]
    assert found(api, "a%3Ab:X") == [{"a:b": "X", "k": "v"}]
    assert found(api, "a%3Ab:deep") == [deep]
    assert {row.pk: sorted(row.terms or ()) for row in Record.objects.all()} == wanted


def test_search_of_the_admin_reads_vendor_ids_as_the_filter_does(api: ApiClient, client: Client) -> None:
    send_and_land(api, [record(vendor_ids={"a": "b:X"}), record(vendor_ids={"a:b": "X"})])
    client.force_login(get_user_model().objects.create_superuser("admin"))
    url = reverse("admin:lake_record_changelist")
    for text, wanted, other in (("a:b:X", {"a": "b:X"}, {"a:b": "X"}), ("a%3Ab:X", {"a:b": "X"}, {"a": "b:X"})):
        page = client.get(url, {"q": text}).content.decode()
        assert (public_id(wanted) in page, public_id(other) in page) == (True, False), text
    assert client.get(url, {"q": "50%:x"}).status_code == 200


def public_id(vendor_ids: dict[str, str]) -> str:
    ((key, value),) = vendor_ids.items()
    (row,) = (
        one
        for one in Record.objects.all()
        if terms.term(one.workspace_id, "vendor", terms.vendor_id(key, value)) in stored_terms(one)
    )
    return row.public_id
