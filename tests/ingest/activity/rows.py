"""Inserts rows from which figures are counted, with times that the test chooses."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from attachments.models import Attachment, DownloadAttempt, LaneNotice
from attachments.queue import lanes
from ingest.activity import rollup
from ingest.activity.models import Rollup, RollupState
from ingest.models import Batch, Workspace
from lake.models import RejectedRecord


def ago(**units: float) -> datetime:
    """Returns a time in the past; ``minutes=3`` gives the middle of that minute."""
    return (timezone.now() - timedelta(**units)).replace(second=30, microsecond=0)


def batch(workspace: Workspace, at: datetime, *, status: str = "COMPLETE", accepted: int = 3, rejected: int = 0, **more: Any) -> Batch:  # fmt: skip
    """A batch accepted at a time and, unless it waits, landed then too. Ids ascend, so make older batches first."""
    settled = {} if status == "LANDING" else {"landed_at": at, "completed_at": at}
    fields = {
        "source": "crm", "type": "call", "status": status, "created_at": at, "record_count": accepted + rejected,
        "accepted_count": accepted, "rejected_count": rejected, "error_count": rejected,
    }  # fmt: skip
    return Batch.objects.create(workspace=workspace, **(fields | settled | more))


def reject(of: Batch, index: int, *errors: tuple[str, str]) -> None:
    """Adds a rejected record with these (code, pointer) errors."""
    found = [{"code": code, "pointer": pointer, "message": f"{pointer}: no"} for code, pointer in errors]
    RejectedRecord.objects.create(batch=of, index=index, errors=json.dumps(found), payload=b"{}", is_json=True)


def file(of: Batch, host: str, *, position: int = 0, state: str = "COMPLETE", **more: Any) -> Attachment:
    """Adds an attachment to a batch."""
    fields = {"created_at": of.created_at, "origin": b"", "record_index": 0, "record_id": uuid4(), "type": "audio"}
    made = Attachment.objects.create(
        workspace=of.workspace, batch=of, host=host, position=position, state=state, **(fields | more)
    )
    LaneNotice.objects.create(workspace=of.workspace, host=host, is_served=False)
    lanes.refresh()
    return made


def attempt(of: Attachment, at: datetime, code: str, token: int = 1) -> None:
    """Adds an attempt that ended at a time."""
    DownloadAttempt.objects.create(attachment=of, token=token, started_at=at, finished_at=at, code=code)


def roll_up() -> None:
    """Runs rounds until everything is counted."""
    for _ in range(40):
        rollup.roll_up()
        if RollupState.objects.get().closed_through >= timezone.now() - timedelta(minutes=3):
            return
    raise AssertionError("the rollup did not catch up")


def values(resolution: str, **filters: Any) -> dict[str, int]:
    """Returns rollup rows as {"metric label": sum}."""
    found: dict[str, int] = {}
    for row in Rollup.objects.filter(resolution=resolution, value__gt=0, **filters):
        name = f"{row.metric} {row.label}".strip()
        found[name] = found.get(name, 0) + row.value
    return found
