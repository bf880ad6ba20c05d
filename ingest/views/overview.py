"""The overview's figures, for the page that refreshes itself. Behind the admin's login."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from ingest.activity import dashboard


@require_safe
def overview(request: HttpRequest) -> JsonResponse:
    """``figures`` (numbers), ``charts``, and the page's parts as HTML, for ``period`` and ``workspace``."""
    response = JsonResponse(dashboard.refreshed(request))
    response["Cache-Control"] = "no-store"
    return response
