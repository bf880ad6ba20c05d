"""One entry in FILTERS gives a filter its parameter, description, term and backfill."""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from evermuse import public_ids
from ingest.api import schema_records as schema
from lake import backfill, filters, places, selectors
from lake.filters import FILTERS, Filter
from lake.management.commands import fillfilter
from lake.models import Record
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

NATURE = Filter(
    parameter="nature",
    term="nature",
    description="The record's nature.",
    values=lambda record: (str(record.envelope.nature),),
    choices=("evidence", "guidance", "context"),
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Adds the filter `NATURE`, as an entry in `lake.filters` would."""

    def add() -> None:
        names = selectors.RecordFilter.NAMES
        for module in (filters, selectors, fillfilter):
            monkeypatch.setattr(module, "FILTERS", (*FILTERS, NATURE))
        monkeypatch.setattr("ingest.api.records.FILTERS", (*FILTERS, NATURE))
        monkeypatch.setattr(selectors.RecordFilter, "NAMES", ("nature", *names))
        terms = filters.Terms.__init__
        monkeypatch.setattr(
            filters.Terms, "__init__", lambda self, workspace_id: terms(self, workspace_id, (*FILTERS, NATURE))
        )

    yield add


def found(api: ApiClient, nature: str) -> list[Any]:
    answer = api.get(f"/api/v1/records?nature={nature}")
    assert answer.status_code == 200, answer.content
    return [one["record"]["data"] for one in answer.json()["records"]]


def fill(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("fillfilter", *words, stdout=out)
    filled: dict[str, Any] = json.loads(out.getvalue())
    return filled


def test_every_filter_is_a_described_parameter_of_the_record_list() -> None:
    described = {one.name: one for one in schema.RECORD_LIST["parameters"]}
    assert [one.parameter for one in FILTERS] == [name for name in described if name in {f.parameter for f in FILTERS}]
    for one in FILTERS:
        assert described[one.parameter].description == one.description
        assert described[one.parameter].enum == (list(one.choices) or None)
        assert one.parameter in selectors.RecordFilter.NAMES


def test_parameters_and_terms_of_filters_are_unique() -> None:
    assert len({one.parameter for one in FILTERS}) == len({one.term for one in FILTERS}) == len(FILTERS)


def test_added_filter_finds_new_records_at_once_and_older_ones_after_the_backfill(
    api: ApiClient, added: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "AT_ONCE", 2)
    before = [record(nature="context", data={"n": n}) for n in range(3)]
    send_and_land(api, [*before, record(data={"n": 3})])
    added()
    send_and_land(api, record(nature="context", data={"n": 4}))
    assert found(api, nature="context") == [{"n": 4}]
    wrong = api.get("/api/v1/records?nature=law")
    assert (wrong.status_code, wrong.json()["message"]) == (400, "nature must be one of evidence, guidance, context.")
    changed = dict(Record.objects.values_list("id", "updated_at"))

    assert fill("nature") == {"filter": "nature", "records": 5, "filled": 4}
    assert sorted(one["n"] for one in found(api, nature="context")) == [0, 1, 2, 4]
    assert found(api, nature="evidence") == [{"n": 3}]
    assert dict(Record.objects.values_list("id", "updated_at")) == changed
    assert fill("nature") == {"filter": "nature", "records": 5, "filled": 0}


def test_backfill_can_resume_after_a_given_record(api: ApiClient, added: Callable[[], None]) -> None:
    send_and_land(api, [record() for _ in range(3)])
    added()
    first = Record.objects.order_by("id")[0]
    assert fill("nature", f"--after={public_ids.of_record(first.id)}")["records"] == 2
    with pytest.raises(CommandError, match="is not a record id"):
        fill("nature", "--after=x")


def test_record_overwritten_during_a_backfill_keeps_its_new_terms(
    api: ApiClient, added: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_and_land(api, record(vendor_ids={"id": "1"}, nature="guidance"))
    added()
    read = places.read

    def overwrite(places: Any) -> Any:
        sent = read(places)
        send_and_land(api, record(vendor_ids={"id": "1"}, nature="context"))
        return sent

    with monkeypatch.context() as patch:
        patch.setattr(places, "read", overwrite)
        assert backfill.step(NATURE, after=None).filled == 0
    assert len(found(api, nature="context")) == 1
    assert found(api, nature="guidance") == []
