"""The permissions of the API."""

from rest_framework.permissions import BasePermission

READ, WRITE = "api:read", "api:write"


class Denied(BasePermission):
    """DRF's default permission: denies everybody, for a view that names no permission."""

    def has_permission(self, request: object, view: object) -> bool:
        return False
