"""Rows with a secret in every column that can hold a customer's words, and all addresses of the admin for them."""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.urls import NoReverseMatch, URLPattern, URLResolver, reverse

from attachments.models import Attachment, DownloadAttempt, Lane, VendorHost
from ingest.models import Batch
from ingest.problems import collector
from ingest.problems.models import Job, Problem
from lake import object_store
from lake.models import RejectedRecord, Segment
from tests.attachments.journey import file
from tests.http_client import ApiClient
from tests.ingest.activity.rows import roll_up
from tests.ingest.landing import send_and_land
from tests.records import record

SECRET = "zqsecretzq"
# Columns that hold the secret, and one column by which a URL may not filter either.
CONFIDENTIAL = {
    Batch: ("failure", "first_errors"),
    Attachment: (
        "filename", "vendor_url", "upload_intent_id", "declared_mime_type", "declared_sha1", "declared_md5",
        "error_message", "mime_type", "storage_uri",
    ),
    RejectedRecord: ("errors",),
    Segment: ("key",),
    Problem: ("field", "sample_message"),
    Job: ("error",),
}  # fmt: skip


def plant(api: ApiClient) -> None:
    """Makes a landed batch, a failed one, files, and a problem with a job, with the secret wherever a client can put it."""
    said: dict[str, Any] = {
        "data": {"text": SECRET},
        "participants": [{"id": SECRET, "role": "external", "name": SECRET, "email": f"{SECRET}@x.example"}],
        "tags": [SECRET],
        "thread_id": SECRET,
        "vendor_ids": {SECRET: SECRET},
    }
    url = f"http://vendor.example/{SECRET}?token={SECRET}"
    good = record(**said, attachments=[file(url, filename=f"{SECRET}.pdf")])
    bad = {**record(**said), SECRET: 1, "_event_at": SECRET}
    send_and_land(api, [good, bad, record(project_ids=[SECRET])])
    collector.collect()
    Batch.objects.update(failure=f"ValueError: {SECRET}", status="FAILED")
    Attachment.objects.update(
        **dict.fromkeys(CONFIDENTIAL[Attachment], f"{SECRET}"),
        error_code="HTTP_404",
        state="FAILED",
        host="v.example:80",
    )
    DownloadAttempt.objects.create(
        attachment=Attachment.objects.get(), token=1, started_at="2026-01-01T00:00:00Z", code="HTTP_404",
        finished_at="2026-01-01T00:00:01Z", message=SECRET,
    )  # fmt: skip
    VendorHost.objects.create(host="v.example:80")
    Lane.objects.update_or_create(
        workspace=Batch.objects.get().workspace,
        host="v.example:80",
        defaults={"last_error": SECRET, "opened_at": "2026-01-01T00:00:00Z", "failures": 50},
    )
    for segment in Segment.objects.all():
        content = object_store.get(segment.key, max_bytes=segment.size)
        assert content
        object_store.put(SECRET, content, "application/zstd")
    Segment.objects.update(key=SECRET)
    for problem in Problem.objects.all():
        Job.objects.create(
            problem=problem, error=f"DataError: {SECRET}", state="FAILED", created_at="2026-01-01T00:00:00Z",
            finished_at="2026-01-01T00:00:01Z",
        )  # fmt: skip
    assert any(SECRET in json.dumps(json.loads(row.errors)) for row in RejectedRecord.objects.all())
    assert any(SECRET in problem.field for problem in Problem.objects.all())
    roll_up()


def addresses() -> Iterator[tuple[str, str]]:
    """Yields every URL of the admin by name, with a real row where it needs one. Uses the URL resolver to miss none."""
    for name, pattern in _named(admin.site.urls[0]):
        model = _model_of(name)
        converters = pattern.pattern.converters
        for args in _arguments(model, name, list(converters)):
            try:
                yield name, reverse(f"admin:{name}", args=args)
            except NoReverseMatch:
                continue
    yield "overview", reverse("overview")
    for model in admin.site._registry:
        for column in model._meta.get_fields():
            if column.is_relation and column.many_to_one and column.concrete:
                query = (
                    f"app_label={model._meta.app_label}&model_name={model._meta.model_name}&field_name={column.name}"
                )
                yield "autocomplete", f"{reverse('admin:autocomplete')}?{query}&term={SECRET}"
                yield "autocomplete", f"{reverse('admin:autocomplete')}?{query}&term="
    yield "search", f"{reverse('admin:search')}?s={SECRET}&extended=1"
    yield "search", f"{reverse('admin:search')}?s=batch"


def _named(patterns: Any) -> Iterator[tuple[str, URLPattern]]:
    for one in patterns:
        if isinstance(one, URLResolver):
            yield from _named(one.url_patterns)
        elif one.name:
            yield one.name, one


def _model_of(name: str) -> type[Model] | None:
    for model in admin.site._registry:
        if name.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            return model
    return None


def _arguments(model: type[Model] | None, name: str, converters: list[str]) -> Iterator[list[Any]]:
    if not converters:
        yield []
    elif name == "view_on_site":
        for one in admin.site._registry:
            if (row := one._default_manager.first()) is not None:
                yield [ContentType.objects.get_for_model(one).pk, row.pk]
    elif model is not None:
        for row in model._default_manager.order_by("-pk")[:3]:
            yield [quote(row.pk) if converters != ["batch_id"] else row.pk]
    else:
        yield from ([label] for label in ("ingest", "lake", "attachments", "problems", "auth", "admin"))
