"""Tasks of an operator in the admin, from login to completion, in a browser."""

from collections.abc import Callable

import pytest
import requests

from tests.browser.conftest import Visit
from tests.browser.expecting import expect
from tests.journeys.client import INGEST, HttpClient
from tests.journeys.stack import Stack, until
from tests.records import record

PAGES = (
    "/admin/", "/admin/ingest/batch/", "/admin/ingest/workspace/", "/admin/ingest/apikey/", "/admin/ingest/apikey/add/",
    "/admin/lake/record/", "/admin/lake/rejectedrecord/", "/admin/attachments/attachment/",
    "/admin/attachments/vendorhost/", "/admin/problems/problem/", "/admin/problems/job/", "/admin/problems/alert/",
    "/admin/admin/logentry/", "/admin/auth/user/", "/admin/auth/group/", "/admin/auth/user/add/",
)  # fmt: skip


def workspace_of(stack: Stack, client: HttpClient) -> int:
    return int(stack.rows("SELECT id FROM ingest_workspace WHERE name = %s", client.workspace)[0][0])


def test_operator_finds_a_failing_client_and_retries_its_work(visit: Callable[..., Visit], stack: Stack) -> None:
    client = stack.new_client()
    refused = client.post(record(project_ids=["proj-unknown"]))
    assert refused.status_code == 400
    batch_id = refused.json()["details"]["batchId"]
    number, workspace = int(batch_id[6:]), workspace_of(stack, client)
    visited = visit()
    page = visited.open(f"/admin/ingest/batch/?status__exact=FAILED&workspace__id__exact={workspace}")
    visited.leave(lambda: page.get_by_role("link", name=batch_id).first.click())
    expect(page.get_by_text("proj-unknown").first).to_be_visible()

    product = stack.rows("SELECT id FROM ingest_product WHERE workspace_id = %s", workspace)[0][0]
    visited.open(f"/admin/ingest/project/add/?workspace={workspace}&product={product}")
    page.fill("[name=project_id]", "proj-unknown")
    visited.leave(lambda: page.locator("[name=_save]").click())
    page.wait_for_url("**/admin/ingest/project/")

    visited.open(f"/admin/ingest/batch/?status__exact=FAILED&workspace__id__exact={workspace}")
    page.locator(f"input[name=_selected_action][value='{number}']").check()
    page.locator("select[name=action]").select_option("retry")
    page.locator("select[name=action]").press("Tab")
    visited.leave(lambda: page.locator("#changelist-form").evaluate("form => form.requestSubmit()"))
    state = "SELECT status FROM ingest_batch WHERE id = %s"
    until(lambda: stack.rows(state, number)[0][0] == "COMPLETE", f"{batch_id} is complete")
    visited.open(f"/admin/ingest/batch/{number}/change/")
    expect(page.get_by_text("COMPLETE").first).to_be_visible()
    assert (visited.strangers, visited.complaints) == ([], [])


def test_operator_makes_and_revokes_an_api_key(visit: Callable[..., Visit], stack: Stack) -> None:
    client = stack.new_client()
    visited = visit()
    page = visited.open(f"/admin/ingest/apikey/add/?workspace={workspace_of(stack, client)}")
    page.fill("[name=label]", "made in a browser")
    visited.leave(lambda: page.locator("[name=_save]").click())
    key = page.get_by_label("The key", exact=True).inner_text().strip()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("status").last).to_contain_text("cop", ignore_case=True)
    made = HttpClient(stack.url, key, client.workspace)
    assert made.post(record()).status_code == 202

    visited.open(f"/admin/ingest/apikey/?q={key[:12]}")
    assert key not in page.content()
    visited.leave(lambda: page.get_by_role("link", name="made in a browser").first.click())
    visited.leave(lambda: page.get_by_role("link", name="Revoke").first.click())
    visited.leave(lambda: page.get_by_role("button", name="Revoke").click())
    page.wait_for_url("**/admin/ingest/apikey/")
    assert made.post(record()).status_code == 401
    assert requests.get(f"{stack.url}{INGEST}/batches", headers=made.headers, timeout=60).status_code == 401
    assert (visited.strangers, visited.complaints) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_admin_pages_load_nothing_from_other_hosts_and_log_no_error(
    visit: Callable[..., Visit], stack: Stack, scheme: str
) -> None:
    client = stack.new_client()
    client.post([record(), record(event_at="x")])
    visited = visit(scheme)
    for path in (*PAGES, f"/admin/ingest/workspace/{workspace_of(stack, client)}/change/"):
        visited.open(path)
        assert visited.page.locator("#content, main, [role=main]").count(), path
        assert (visited.strangers, visited.complaints) == ([], []), path
