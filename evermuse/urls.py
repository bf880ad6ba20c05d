"""All paths. API paths work with and without a trailing slash."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerSplitView

from attachments.serving import view as files
from ingest.admin import overview
from ingest.api import attachments, batches, documents, keys, probes, records, uploads

handler400 = "ingest.api.exception_handler.bad_request"
handler403 = "ingest.api.exception_handler.forbidden"
handler404 = "ingest.api.exception_handler.path_unknown"
handler500 = "ingest.api.exception_handler.server_error"

# Registers the pages of every app.
admin.autodiscover()

_BATCH = r"api/v1/ingest/batches/(?P<batch_id>[^/]+)"

urlpatterns: list[URLPattern | URLResolver] = [
    re_path(r"^api/v1/ingest/?\Z", batches.IngestView.as_view()),
    re_path(r"^api/v1/ingest/validate/?\Z", batches.ValidateView.as_view()),
    re_path(r"^api/v1/key/?\Z", keys.KeyView.as_view()),
    re_path(r"^api/v1/uploads/?\Z", uploads.UploadListView.as_view()),
    re_path(r"^api/v1/schemas/record\.json/?\Z", probes.record_schema),
    re_path(r"^api/v1/ingest/batches/?\Z", batches.BatchListView.as_view()),
    re_path(rf"^{_BATCH}/?\Z", batches.BatchView.as_view()),
    re_path(rf"^{_BATCH}/errors/?\Z", batches.BatchErrorsView.as_view()),
    re_path(rf"^{_BATCH}/records/?\Z", batches.BatchRecordsView.as_view()),
    re_path(rf"^{_BATCH}/attachments/?\Z", attachments.BatchAttachmentsView.as_view()),
    re_path(
        rf"^{_BATCH}/attachments/(?P<attachment_id>[^/]+)/?\Z",
        attachments.AttachmentView.as_view(),
    ),
    re_path(rf"^{_BATCH}/retry/?\Z", batches.BatchRetryView.as_view()),
    re_path(r"^api/v1/records/?\Z", records.RecordListView.as_view()),
    re_path(r"^api/v1/records/known/?\Z", records.KnownRecordsView.as_view()),
    re_path(r"^api/v1/records/removed/?\Z", records.RemovedRecordsView.as_view()),
    re_path(r"^api/v1/records/(?P<record_id>[^/]+)/?\Z", records.RecordView.as_view()),
    re_path(r"^api/v1/openapi\.json/?\Z", documents.openapi, name="openapi"),
    re_path(
        r"^api/v1/docs/?\Z",
        probes.probe(
            SpectacularSwaggerSplitView.as_view(url_name="openapi", authentication_classes=[], permission_classes=[])
        ),
    ),
    re_path(r"^files/?\Z", files.file),
    re_path(r"^healthz/?\Z", probes.healthz),
    re_path(r"^readyz/?\Z", probes.readyz),
    re_path(r"^metrics/?\Z", probes.metrics),
    path("admin/overview.json", admin.site.admin_view(overview.overview), name="overview"),
    # Browsers request it for every page.
    path("favicon.ico", RedirectView.as_view(url="/static/ingest/icon.svg")),
    path("admin/", admin.site.urls),
]
