"""What a key may do."""

from rest_framework.permissions import BasePermission

READ, WRITE = "api:read", "api:write"


class Denied(BasePermission):
    """DRF's default for a view that names no permission: nobody."""

    def has_permission(self, request: object, view: object) -> bool:
        return False
