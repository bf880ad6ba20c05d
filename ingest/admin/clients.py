"""Workspaces, products and projects in the admin."""

import json
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, F, Q, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from unfold.admin import ModelAdmin

from evermuse import audit
from evermuse.admin import RoleAware
from ingest.clients import holds, key_states, workspaces
from ingest.models import MAX_LIVE_KEYS, ApiKey, Product, Project, Workspace

RETENTION = ("record_retention_days", "attachment_retention_days", "legal_hold")
ASSETS = Media(css={"all": ["ingest/clients.css"]}, js=["ingest/copy.js"])


class _ClientAdmin(RoleAware, ModelAdmin):  # type: ignore[misc]
    """Rows can be deleted one at a time, and only if nothing was sent for them.

    Names cannot change: records, terms and keys in the object store contain them.
    """

    lasting: ClassVar[tuple[str, ...]] = ()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.lasting if obj else ()

    @property
    def media(self) -> Media:
        mine: Media = super().media + ASSETS
        return mine

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: act for name, act in super().get_actions(request).items() if name != "delete_selected"}

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponseBase:
        target = self.get_object(request, object_id)
        if target and self.has_delete_permission(request, target) and (reason := workspaces.why_kept(target)):
            messages.error(request, reason)
            return redirect(f"admin:ingest_{self.opts.model_name}_change", target.pk)
        answer: HttpResponseBase = super().delete_view(request, object_id, extra_context)
        return answer

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Allows keys to be deleted with their workspace, although a single key cannot be deleted."""
        shown, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return shown, counts, lacking - {ApiKey._meta.verbose_name}, protected


class _LastingAdmin(_ClientAdmin):
    """Rows without a field that could change, so their pages have no form."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)


@admin.register(Workspace)
class WorkspaceAdmin(_ClientAdmin):
    """The page of a workspace shows its products, projects and keys."""

    lasting = ("name",)
    list_display = (
        "name", "number_of_products", "number_of_projects", "number_of_keys", "hold", "created_at",
    )  # fmt: skip
    search_fields = ("name",)
    # The default order of the model does not apply to a query with GROUP BY. Without this, pages of an autocomplete could
    # show a workspace twice and another one not at all.
    ordering: ClassVar = ["name"]
    change_form_outer_after_template = "ingest/workspace.html"

    def save_model(self, request: HttpRequest, obj: Workspace, form: Any, change: bool) -> None:
        """Retention and the hold are in the audit log with their values; no removal runs while they change."""
        changed = [name for name in RETENTION if name in form.changed_data]
        if change and changed:
            holds.wait_for_removal()
        super().save_model(request, obj, form, change)
        if changed:
            audit.record(request, obj, "Retention changed", **{name: getattr(obj, name) for name in changed})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        live = Q(api_keys__revoked_at=None) & (
            Q(api_keys__expires_at=None) | Q(api_keys__expires_at__gt=timezone.now())
        )
        found: QuerySet[Workspace] = super().get_queryset(request)
        return found.annotate(
            products_count=Count("products", distinct=True),
            projects_count=Count("projects", distinct=True),
            keys_count=Count("api_keys", filter=live, distinct=True),
        )

    @admin.display(description="Products", ordering="products_count")
    def number_of_products(self, obj: Any) -> int:
        return int(obj.products_count)

    @admin.display(description="Projects", ordering="projects_count")
    def number_of_projects(self, obj: Any) -> int:
        return int(obj.projects_count)

    @admin.display(description="Live keys", ordering="keys_count")
    def number_of_keys(self, obj: Any) -> str:
        return f"{obj.keys_count} of {MAX_LIVE_KEYS}"

    @admin.display(description="Legal hold", ordering="legal_hold")
    def hold(self, obj: Workspace) -> str:
        # As a word: the theme marks every "no" with a red cross, and most workspaces have no hold.
        return "held" if obj.legal_hold else "none"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        shown = of_workspace(request, int(object_id)) if object_id.isascii() and object_id.isdigit() else {}
        answer: HttpResponseBase = super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})
        return answer


def of_workspace(request: HttpRequest, workspace_id: int) -> dict[str, Any]:
    """The products of a workspace with their projects, and its keys."""
    products = Product.objects.filter(workspace_id=workspace_id).prefetch_related("projects")
    keys = [
        {"key": key, "state": key_states.of(key)}
        for key in ApiKey.objects.filter(workspace_id=workspace_id).order_by(
            F("revoked_at").desc(nulls_first=True), "label"
        )
    ]
    live = sum(entry["state"] == key_states.LIVE for entry in keys)
    return {
        "of_workspace": [
            {
                "product": product,
                "projects": [{"project": one, "ids": ids_of(product, one)} for one in product.projects.all()],
            }
            for product in products
        ],
        "keys": keys,
        "live_keys": f"{live} of {MAX_LIVE_KEYS} live keys",
        "may_add_keys": request.user.has_perm("ingest.add_apikey"),
        "may_add_products": request.user.has_perm("ingest.add_product"),
        "may_add_projects": request.user.has_perm("ingest.add_project"),
    }


def ids_of(product: Product, project: Project) -> str:
    """The ids for records of a project, as JSON to paste."""
    return json.dumps({"_product_id": product.product_id, "_project_id": project.project_id}, ensure_ascii=False)


@admin.register(Product)
class ProductAdmin(_LastingAdmin):
    lasting = ("product_id", "workspace")
    list_display = ("product_id", "workspace")
    list_filter = ("workspace",)
    lookups = ("workspace__id__exact",)
    list_select_related = ("workspace",)
    search_fields = ("product_id",)
    autocomplete_fields = ("workspace",)


@admin.register(Project)
class ProjectAdmin(_LastingAdmin):
    lasting = ("project_id", "product", "workspace")
    list_display = ("project_id", "product", "workspace")
    list_filter = ("workspace",)
    lookups = ("workspace__id__exact",)
    list_select_related = ("workspace", "product")
    search_fields = ("project_id", "product__product_id")
    autocomplete_fields = ("workspace", "product")

    def get_form(self, request: HttpRequest, obj: Project | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)

        class Checked(form):  # type: ignore[misc, valid-type]
            def clean(self) -> dict[str, Any]:
                cleaned: dict[str, Any] = super().clean()
                product, workspace = cleaned.get("product"), cleaned.get("workspace")
                if product and workspace and product.workspace_id != workspace.pk:
                    raise ValidationError({"product": "This product is another workspace's."})
                return cleaned

        return Checked
