"""The admin's pages of this app, each in a module of its own: what was sent, who sends it, who works here."""

from ingest.batch_admin import BatchAdmin
from ingest.client_admin import ProductAdmin, ProjectAdmin, WorkspaceAdmin
from ingest.key_admin import ApiKeyAdmin
from ingest.staff_admin import AuditAdmin, RoleAdmin, StaffAdmin

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
