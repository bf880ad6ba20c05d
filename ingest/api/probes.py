"""Endpoints without a key: probes, metrics and the schema of a record."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from evermuse.errors import DATABASE_AWAY
from evermuse.web import draining
from ingest.activity import health
from ingest.activity.metrics import StateCollector
from ingest.api import scrapers
from ingest.api.exception_handler import render
from ingest.refusals import invalid_body, method_not_allowed, not_found, unavailable
from lake import json_schema

_View = TypeVar("_View", bound=Callable[..., HttpResponse])
SAFE = ("GET", "HEAD")


def probe(view: _View) -> _View:
    """Allow GET and HEAD; other verbs get the contract's 405. Without the CSRF check, which would answer first."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method not in SAFE:
            refused = render(method_not_allowed(SAFE))
            refused["Allow"] = ", ".join(SAFE)
            return refused
        return view(request, *args, **kwargs)

    return cast(_View, csrf_exempt(guarded))


@probe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process is alive."""
    return JsonResponse({"status": "ok"})


@probe
def record_schema(request: HttpRequest) -> JsonResponse:
    """The envelope as JSON Schema."""
    return JsonResponse(json_schema.envelope(), content_type="application/schema+json")


@probe
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether the servers answer. ``?role=`` names a kind of process; 503 if one that it needs does not answer.

    A web process that was asked to stop answers 503, so that a proxy sends it no more requests.
    Without a role it is the web's, which needs only PostgreSQL, because batches are accepted without the others.
    """
    role = request.GET.get("role", "web")
    if role not in health.NEEDED:
        return render(invalid_body(f"role must be one of {', '.join(health.NEEDED)}."))
    if draining.is_on():
        return JsonResponse({"status": "draining", "checks": {}}, status=503)
    found = health.check()
    ready = all(found[name] == health.OK for name in health.NEEDED[role])
    status = "ok" if all(state == health.OK for state in found.values()) else "degraded" if ready else "unavailable"
    response = JsonResponse({"status": status, "checks": found}, status=200 if ready else 503)
    if not ready:
        response["Retry-After"] = "2"
    return response


@probe
def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics in Prometheus's text format if `scrapers.may_scrape` allows the request, else a 404."""
    if not scrapers.may_scrape(request):
        return render(not_found())
    registry = CollectorRegistry()
    try:
        connection.ensure_connection()
        registry.register(StateCollector())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
    except DATABASE_AWAY:
        return render(unavailable())
