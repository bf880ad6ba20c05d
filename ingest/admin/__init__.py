"""The admin's pages of this app: batches, clients and their keys, and staff."""

from ingest.admin.batches import BatchAdmin
from ingest.admin.clients import ProductAdmin, ProjectAdmin, WorkspaceAdmin
from ingest.admin.keys import ApiKeyAdmin
from ingest.admin.staff import AuditAdmin, RoleAdmin, StaffAdmin

__all__ = [
    "ApiKeyAdmin",
    "AuditAdmin",
    "BatchAdmin",
    "ProductAdmin",
    "ProjectAdmin",
    "RoleAdmin",
    "StaffAdmin",
    "WorkspaceAdmin",
]
