"""A dry run returns all errors, however many, without holding them in memory."""

import json

import pytest

from ingest.api import validation
from lake.field_errors import FieldError
from lake.landing import Rejected, Verdict
from tests.http_client import INGEST, ApiClient
from tests.records import record

VALIDATE = f"{INGEST}/validate"


def test_large_answer_of_a_dry_run_has_every_error(api: ApiClient) -> None:
    bad = [{**record(), **{f"{'unknown' * 5}{n}": 1 for n in range(100)}} for _ in range(60)]
    answer = api.post([record(), *bad], path=VALIDATE)
    content = b"".join(answer.streaming_content)
    assert answer.headers["Content-Length"] == str(len(content))
    assert len(content) > validation.MEMORY_BYTES
    found = json.loads(content)
    assert (found["acceptedCount"], found["rejectedCount"], found["totalErrorCount"]) == (1, 60, 6000)
    assert [(error["index"], error["pointer"]) for error in found["errors"]] == [
        (index, f"/{'unknown' * 5}{n}") for index in range(1, 61) for n in range(100)
    ]


def test_large_answer_of_a_dry_run_equals_the_same_answer_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def verdict() -> Verdict:
        errors = [FieldError("VALIDATION_ERROR", f"/a{n}", f"a{n}: is no field") for n in range(50)]
        return Verdict(record_count=3, rejected=[Rejected(index, b"{}", errors) for index in (0, 2)])

    small = validation.answer(verdict())
    monkeypatch.setattr(validation, "MEMORY_BYTES", 1000)
    large = validation.answer(verdict())
    assert (small.streaming, large.streaming) == (False, True)
    assert b"".join(large) == b"".join(small)
    assert len(json.loads(b"".join(small))["errors"]) == 100
    large.file_to_stream.close()  # type: ignore[attr-defined]


def test_answer_of_a_dry_run_without_errors_has_an_empty_list() -> None:
    assert json.loads(b"".join(validation.answer(Verdict(record_count=1)))) == {
        "acceptedCount": 0,
        "rejectedCount": 0,
        "totalErrorCount": 0,
        "errors": [],
    }
