"""Requests that schemathesis generates from our OpenAPI document cause no server error in the running stack."""

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack

if TYPE_CHECKING:
    import schemathesis

SHAPE = {"error", "message", "retryAfter", "details"}


def test_requests_generated_from_the_openapi_description_cause_no_server_error(
    client: HttpClient, stack: Stack
) -> None:
    import schemathesis  # takes a second

    document = client.get("/api/v1/openapi.json").json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= 16

    for operation in operations:

        @seed(1)
        @settings(
            max_examples=15, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def try_it(case: "schemathesis.Case[Any]") -> None:
            case.headers["x-api-key"] = client.key
            answer = case.call(base_url=stack.url, timeout=20)
            assert answer.status_code < 500, (case.as_curl_command(), answer.text)
            if answer.status_code >= 400:
                assert set(json.loads(answer.content)) <= SHAPE, answer.text
                assert "Traceback" not in answer.text

        try_it()
    assert client.get("/healthz").status_code == 200
