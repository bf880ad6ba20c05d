"""The figures of the overview for its refresh. For logins with a role."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from evermuse import roles
from ingest.activity import dashboard


@require_safe
def overview(request: HttpRequest) -> JsonResponse:
    """``figures`` as numbers, ``charts``, and fragments of the page as HTML, for ``period`` and ``workspace``."""
    if not roles.may_look(request):
        raise PermissionDenied
    response = JsonResponse(dashboard.refreshed(request))
    response["Cache-Control"] = "no-store"
    return response
