"""Workspaces with their products and projects."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from attachments.models import StoredFile, UploadIntent
from ingest.models import Batch, Product, Project, Workspace
from lake import term_sets, terms
from lake.models import Record


@transaction.atomic
def ensure(*, name: str, products: Iterable[tuple[str, Sequence[str]]]) -> Workspace:
    """Create the workspace and its missing products and projects. Repeatable.

    Raises ValidationError for a bad name, or for a project that another product of the workspace has.
    """
    workspace = Workspace.objects.filter(name=name).first()
    if workspace is None:
        workspace = Workspace(name=name)
        workspace.full_clean()
        workspace.save()
    for product_id, project_ids in products:
        product = Product.objects.filter(workspace=workspace, product_id=product_id).first()
        if product is None:
            product = Product(workspace=workspace, product_id=product_id)
            product.full_clean()
            product.save()
        for project_id in project_ids:
            _ensure_project(product, project_id)
    return workspace


def _ensure_project(product: Product, project_id: str) -> None:
    found = Project.objects.filter(workspace=product.workspace, project_id=project_id).first()
    if found is None:
        project = Project(workspace=product.workspace, product=product, project_id=project_id)
        project.full_clean()
        project.save()
    elif found.product_id != product.pk:
        raise ValidationError(
            f"project {project_id!r} belongs to product {found.product} of this workspace: "
            "a project id must be unique in its workspace"
        )


def describe(workspace: Workspace) -> dict[str, Any]:
    """The workspace as the command line prints it."""
    return {
        "workspace": workspace.name,
        "products": [
            {"productId": p.product_id, "projectIds": [q.project_id for q in p.projects.all()]}
            for p in workspace.products.prefetch_related("projects")
        ],
    }


def why_kept(target: Workspace | Product | Project) -> str:
    """Why a workspace, product or project cannot be deleted, as a sentence. Empty if it can.

    The database has no constraints for these references (`Batch`, `Record`), so callers must check here before they delete.
    """
    if isinstance(target, Workspace):
        kept = (
            ("batches", Batch.objects.filter(workspace=target)),
            ("records", Record.objects.filter(workspace=target)),
            ("uploads", UploadIntent.objects.filter(workspace=target)),
            ("files", StoredFile.objects.filter(workspace=target)),
        )
        found = next((what for what, rows in kept if rows.exists()), "")
        return (
            f"Workspace {target} has {found}: it cannot be deleted. Revoke its keys to stop it from sending."
            if found
            else ""
        )
    if isinstance(target, Product):
        what, name, value = "Product", "product", target.product_id
    else:
        what, name, value = "Project", "project", target.project_id
    workspace_id = target.workspace_id
    [wanted] = term_sets.holding(workspace_id, [(terms.term(workspace_id, name, value), "")])
    rows = Record.objects.filter(wanted.condition(), workspace_id=workspace_id)
    return f"{what} {target} has records: it cannot be deleted." if rows.exists() else ""
