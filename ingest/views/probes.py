"""Probes, metrics and the record's schema: what asks for no key."""

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ingest import health
from ingest.exception_handler import DATABASE_AWAY, render
from ingest.metrics import StateCollector
from ingest.refusals import not_found, unavailable
from lake import json_schema


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives."""
    return JsonResponse({"status": "ok"})


@require_safe
def record_schema(request: HttpRequest) -> JsonResponse:
    """The envelope as JSON Schema."""
    return JsonResponse(json_schema.envelope(), content_type="application/schema+json")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """What the service needs answers. 503 only without PostgreSQL: ingest goes on without the others."""
    found = health.check()
    ready = found["database"] == health.OK
    status = "ok" if all(state == health.OK for state in found.values()) else "degraded" if ready else "unavailable"
    response = JsonResponse({"status": status, "checks": found}, status=200 if ready else 503)
    if not ready:
        response["Retry-After"] = "2"
    return response


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus's text format, to this host and to EVERMUSE_METRICS_NETWORKS alone; a 404 for anybody else."""
    if not health.may_scrape(request.META.get("REMOTE_ADDR", ""), settings.EVERMUSE_METRICS_NETWORKS):
        return render(not_found())
    registry = CollectorRegistry()
    try:
        connection.ensure_connection()
        registry.register(StateCollector())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    except DATABASE_AWAY:
        return render(unavailable())
