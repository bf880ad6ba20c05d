"""What a login may do in the admin: viewers see, operators act and see payloads, administrators manage clients and logins.

Roles are Django groups (made by ``manage.py bootstrap`` and by migrations); code asks for permissions, never for a group's name.
"""

from django.http import HttpRequest

SEE_PAYLOADS, OPERATE = "ingest.see_payloads", "ingest.operate"


def may_see_payloads(request: HttpRequest) -> bool:
    """Whether what customers said may be shown: payloads, ``data``, files, participants."""
    return request.user.has_perm(SEE_PAYLOADS)


def may_act(request: HttpRequest) -> bool:
    """Whether retries, pauses, fresh URLs and states of problems are open to this login."""
    return request.user.has_perm(OPERATE)
