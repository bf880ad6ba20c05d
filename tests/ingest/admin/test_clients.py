"""A workspace's page in the admin, and which workspaces, products and projects may be deleted."""

import html
from collections.abc import Callable

from django.contrib import admin
from django.test import Client, RequestFactory
from django.urls import reverse

from ingest.clients import api_keys
from ingest.models import ApiKey, Product, Project, Workspace
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record


def test_page_of_a_workspace_shows_its_keys_and_projects(login: Callable[[str], Client], workspace: Workspace) -> None:
    for label in ("a", "b", "c"):
        api_keys.create(workspace=workspace, label=label)
    api_keys.revoke(api_keys.create(workspace=workspace, label="gone").api_key)
    page = login("administrator").get(reverse("admin:ingest_workspace_change", args=[workspace.pk]))
    text = html.unescape(page.content.decode())
    assert "3 of 10 live keys" in text
    for project_id in ("proj-123", "proj-456"):
        assert f'{{"_product_id": "prod-abc", "_project_id": "{project_id}"}}' in text
    assert "3 of 10" in login("viewer").get(reverse("admin:ingest_workspace_changelist")).content.decode()


def test_workspace_product_or_project_with_data_cannot_be_deleted(
    login: Callable[[str], Client], workspace: Workspace, api: ApiClient
) -> None:
    send_and_land(api, record())
    for role in ("administrator", "superuser"):
        client = login(role)
        for target, reason in (
            (workspace, "has batches: it cannot be deleted"),
            (Product.objects.get(), "has records: it cannot be deleted"),
            (Project.objects.get(project_id="proj-123"), "has records: it cannot be deleted"),
        ):
            path = reverse(f"admin:ingest_{target._meta.model_name}_delete", args=[target.pk])
            for answer in (client.get(path, follow=True), client.post(path, {"post": "yes"}, follow=True)):
                assert answer.status_code == 200
                assert reason in answer.content.decode()
            assert type(target).objects.filter(pk=target.pk).exists()
        listed = client.get(reverse("admin:ingest_workspace_changelist")).content
        assert b"delete_selected" not in listed


def test_workspace_or_project_without_data_can_be_deleted(
    login: Callable[[str], Client], workspace: Workspace, api: ApiClient
) -> None:
    client = login("administrator")
    spare = Project.objects.get(project_id="proj-456")
    client.post(reverse("admin:ingest_project_delete", args=[spare.pk]), {"post": "yes"})
    assert not Project.objects.filter(pk=spare.pk).exists()
    client.post(reverse("admin:ingest_workspace_delete", args=[workspace.pk]), {"post": "yes"})
    assert (Workspace.objects.count(), ApiKey.objects.count()) == (0, 0)


def test_project_with_a_product_of_another_workspace_is_rejected(
    login: Callable[[str], Client], workspace: Workspace, other_workspace: Workspace
) -> None:
    foreign = Product.objects.get(workspace=other_workspace)
    form = {"workspace": workspace.pk, "product": foreign.pk, "project_id": "proj-new"}
    answer = login("administrator").post(reverse("admin:ingest_project_add"), form)
    assert "another workspace" in str(answer.context["adminform"].form.errors["product"])


def test_names_of_workspaces_products_and_projects_cannot_be_changed(
    login: Callable[[str], Client], workspace: Workspace
) -> None:
    client, product = login("superuser"), Product.objects.get()
    project, name = Project.objects.get(project_id="proj-123"), workspace.name
    for target, fields in (
        (workspace, {"name": "another"}),
        (product, {"product_id": "another", "workspace": workspace.pk}),
        (project, {"project_id": "another", "product": product.pk, "workspace": workspace.pk}),
    ):
        client.post(reverse(f"admin:ingest_{target._meta.model_name}_change", args=[target.pk]), fields)
        target.refresh_from_db()
    assert (workspace.name, product.product_id, project.project_id) == (name, "prod-abc", "proj-123")


def test_rows_that_an_autocomplete_offers_are_ordered(rf: RequestFactory) -> None:
    """The view of autocompletes divides a queryset of the admin into pages as it is."""
    searched = [registered for registered in admin.site._registry.values() if registered.search_fields]
    assert Workspace in {registered.model for registered in searched}
    assert [one.model for one in searched if not one.get_queryset(rf.get("/")).ordered] == []
