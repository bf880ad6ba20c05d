"""Lands batches in the test's own process, by the service that a worker's task calls."""

from evermuse.errors import StoreUnavailable
from evermuse.retry_policy import RetryPolicy
from ingest import failure_codes
from ingest.pipeline import landing as pipeline
from lake import frames
from lake.models import Record
from lake.reading import stored as read
from tests.http_client import ApiClient
from tests.records import record

# A fault after which claims are released.
STORE_IS_AWAY = failure_codes.store_unavailable(StoreUnavailable("connection refused"))
# A wait that ends immediately.
AT_ONCE = RetryPolicy(first=1e-6, longest=1e-6)


def send_and_land(api: ApiClient, body: object, **options: str) -> str:
    """Posts a batch, lands everything that waits, and returns the batch's id."""
    answer = api.post(body, **options)
    assert answer.status_code == 202, answer.content
    pipeline.land_waiting()
    return str(answer.json()["batchId"])


def outcomes(api: ApiClient, batch_id: str) -> list[str]:
    """Returns the outcome of each record of a batch."""
    return [row["outcome"] for row in api.rows(batch_id, "records")]


def data_of(stored: Record) -> bytes:
    """Returns the bytes of a stored record's ``data``."""
    return read(frames.read([stored.place])[stored.place]).data


def versions(text: str) -> dict[str, object]:
    """A record with a fixed identity, whose data names its version."""
    return record(vendor_ids={"id": "same"}, data={"v": text})
