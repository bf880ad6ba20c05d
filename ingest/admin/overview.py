"""The overview's figures, for the page that refreshes itself. For logins with a role."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from evermuse import roles
from ingest.activity import dashboard


@require_safe
def overview(request: HttpRequest) -> JsonResponse:
    """``figures`` (numbers), ``charts``, and the page's parts as HTML, for ``period`` and ``workspace``."""
    if not roles.may_look(request):
        raise PermissionDenied
    response = JsonResponse(dashboard.refreshed(request))
    response["Cache-Control"] = "no-store"
    return response
