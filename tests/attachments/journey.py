"""Takes the files of one record from landing to settlement in one process, by the services that the tasks call."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from attachments import fetching
from attachments.models import Attachment, Lane, LaneNotice
from attachments.queue import crashes
from ingest.pipeline import processing
from lake import object_store
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record


def file(url: str, **more: object) -> dict[str, object]:
    """One attachment entry."""
    return {"type": "audio", "filename": "call.mp3", "vendor_url": url, **more}


def send(api: ApiClient, *files: dict[str, object]) -> str:
    """Sends and lands a batch of one record with these attachments."""
    return send_and_land(api, record(attachments=list(files)))


def run(api: ApiClient, batch_id: str) -> dict[str, Any]:
    """Fetches due files, including suspects, advances the batch and returns it."""
    fetching.fetch_waiting()
    while claim := crashes.take_suspect("alone"):
        fetching.fetch_one(claim)
    processing.advance([int(batch_id[6:])])
    return api.batch(batch_id)


def make_due() -> None:
    """Makes every waiting file due now."""
    Attachment.objects.filter(state="PENDING").update(next_attempt_at=timezone.now() - timedelta(minutes=1))
    Lane.objects.update(held_until=None)
    tell_lanes()


def tell_lanes() -> None:
    """Has the next claim read all lanes again, after a test has changed rows."""
    pairs = Attachment.objects.order_by().values_list("workspace_id", "host").distinct()
    LaneNotice.objects.bulk_create(
        LaneNotice(workspace_id=workspace, host=host, is_served=False) for workspace, host in pairs
    )


def stored(uri: str) -> bytes:
    """Returns an object's bytes."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return object_store.client().get_object(bucket, key).read()


def objects() -> set[str]:
    """Returns the keys of all objects of attachments."""
    return {
        str(o.object_name)
        for o in object_store.client().list_objects("evermuse-lake", prefix="attachments/", recursive=True)
    }


def open_uploads() -> list[str]:
    """Returns the keys of all multipart uploads that are neither completed nor aborted."""
    found = object_store.client()._list_multipart_uploads("evermuse-lake", prefix="attachments/")
    return [str(upload.object_name) for upload in found.uploads]
