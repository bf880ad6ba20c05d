"""A workspace's unclaimed uploads stay within its quota exactly, also with simultaneous requests."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from django.db import connection
from django.utils import timezone

from attachments import upload_clearing, upload_quota, uploads
from attachments.fetch import upload_area
from attachments.models import UploadIntent
from attachments.queue import sweeper
from ingest.clients import api_keys
from ingest.models import Workspace
from tests.attachments.journey import run
from tests.attachments.test_uploads import UPLOADS, error_of, intent, naming
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land

pytestmark = pytest.mark.usefixtures("empty_store")
QUOTA = 1000


@pytest.fixture(autouse=True)
def small_quota(settings: Any) -> None:
    settings.EVERMUSE_UPLOAD_QUOTA_BYTES = QUOTA


def asked(api: ApiClient, **declared: object) -> int:
    return int(api.post(declared, path=UPLOADS).status_code)


def test_request_beyond_the_upload_quota_gets_a_429_with_retry_after(api: ApiClient) -> None:
    assert [asked(api, size=size) for size in (600, 400, 0)] == [201, 201, 201]
    answer = api.post({"size": 1}, path=UPLOADS)
    assert (answer.status_code, answer.json()["error"]) == (429, "UPLOAD_QUOTA")
    assert 1 <= answer.json()["retryAfter"] <= 60
    assert answer["Retry-After"] == str(answer.json()["retryAfter"])
    assert set(answer.json()) == {"error", "message", "retryAfter"}


def test_upload_quota_of_one_workspace_leaves_room_for_another(
    api: ApiClient, new_client: Any, other_workspace: Workspace
) -> None:
    assert asked(api, size=QUOTA) == 201
    assert asked(api, size=1) == 429
    assert asked(new_client(of=other_workspace), size=QUOTA) == 201


def test_claim_frees_the_quota_of_its_upload(api: ApiClient) -> None:
    made = intent(api, size=900)
    assert asked(api, size=200) == 429
    assert urllib3.request("PUT", made["uploadUrl"], body=b"x" * 900).status == 200
    batch_id = send_and_land(api, naming(made["uploadIntentId"]))
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    assert asked(api, size=200) == 201


def test_claimed_file_counts_until_it_is_deleted_from_the_upload_area(api: ApiClient) -> None:
    made = intent(api, size=900, sha1="0" * 40)
    urllib3.request("PUT", made["uploadUrl"], body=b"x" * 900)
    run(api, send_and_land(api, naming(made["uploadIntentId"])))
    assert asked(api, size=200) == 429
    UploadIntent.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweeper.sweep()
    assert asked(api, size=200) == 201


def test_expired_intent_frees_its_quota(api: ApiClient) -> None:
    intent(api, size=900)
    UploadIntent.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert asked(api, size=200) == 201


def test_retry_after_is_the_time_until_the_next_intent_expires(api: ApiClient) -> None:
    intent(api, size=900)
    UploadIntent.objects.update(expires_at=timezone.now() + timedelta(seconds=40))
    answer = api.post({"size": 200}, path=UPLOADS)
    assert 10 <= answer.json()["retryAfter"] <= 41


def test_uploaded_file_without_a_declared_size_counts_by_its_real_size(api: ApiClient) -> None:
    for size in (500, 490):
        assert urllib3.request("PUT", intent(api)["uploadUrl"], body=b"x" * size).status == 200
    assert asked(api, size=20) == 429
    assert asked(api, size=10) == 201


def test_intent_without_a_declared_size_counts_a_fixed_share_until_its_file_arrives(
    api: ApiClient, settings: Any
) -> None:
    settings.EVERMUSE_UPLOAD_QUOTA_BYTES = 2 * upload_quota.UNDECLARED_SHARE
    settings.EVERMUSE_RATE_LIMIT = 0
    made = [uploads_made(api) for _ in range(20)]
    UploadIntent.objects.update(size=None)
    assert len(made) == 20
    assert asked(api, size=2 * upload_quota.UNDECLARED_SHARE - 20 * 2) == 201
    assert asked(api) == 429


def uploads_made(api: ApiClient) -> str:
    return str(intent(api)["uploadIntentId"])


def test_sweeper_measures_a_larger_file_that_replaced_another(api: ApiClient) -> None:
    url = intent(api)["uploadUrl"]
    urllib3.request("PUT", url, body=b"x")
    assert asked(api, size=0) == 201
    urllib3.request("PUT", url, body=b"x" * 990)
    upload_clearing.UploadAreaWalk().step()
    assert asked(api, size=20) == 429


def size_of(made: dict[str, Any]) -> int | None:
    workspace = UploadIntent.objects.get(token=made["uploadIntentId"]).workspace.name
    return upload_area.size_of(upload_area.key_for(workspace=workspace, token=made["uploadIntentId"]))


def test_files_of_undeclared_size_are_removed_when_they_exceed_the_quota_together(api: ApiClient) -> None:
    made = [intent(api) for _ in range(4)]
    for size, one in zip((400, 700, 300, 600), made, strict=True):
        assert urllib3.request("PUT", one["uploadUrl"], body=b"x" * size).status == 200
    upload_clearing.UploadAreaWalk().step()
    assert [size_of(one) for one in made] == [400, None, 300, None]
    assert asked(api, size=301) == 429
    assert asked(api, size=290) == 201


def test_removed_file_fails_with_the_quota_as_the_reason(api: ApiClient) -> None:
    made = [intent(api), intent(api)]
    for size, one in zip((600, 500), made, strict=True):
        assert urllib3.request("PUT", one["uploadUrl"], body=b"x" * size).status == 200
    upload_clearing.UploadAreaWalk().step()
    batch_id = send_and_land(api, naming(made[0]["uploadIntentId"]))
    run(api, batch_id)
    assert error_of(api, batch_id) == "UPLOAD_QUOTA"


def test_url_of_a_removed_file_leaves_nothing_in_the_upload_area(api: ApiClient) -> None:
    made = intent(api)
    for _ in range(2):
        assert urllib3.request("PUT", made["uploadUrl"], body=b"x" * (QUOTA + 1)).status == 200
        upload_clearing.UploadAreaWalk().step()
        assert size_of(made) is None


def test_claimed_file_is_not_removed_for_the_quota(api: ApiClient) -> None:
    made = intent(api)
    urllib3.request("PUT", made["uploadUrl"], body=b"x" * (QUOTA + 1))
    UploadIntent.objects.update(origin=b"o" * 16)
    upload_clearing.UploadAreaWalk().step()
    assert size_of(made) == QUOTA + 1


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_stay_within_the_upload_quota(api: ApiClient, workspace: Workspace) -> None:
    gate = threading.Barrier(8)
    outcomes: list[bool] = []
    key = UploadIntent(workspace=workspace)

    def ask() -> None:
        gate.wait()
        try:
            for _ in range(4):
                uploads.create(
                    workspace_id=key.workspace_id,
                    workspace=workspace.name,
                    api_key_id=api_key,
                    key_ends_at=api_keys.ends_at,
                    declared=uploads.Declared(size=100),
                )
                outcomes.append(True)
        except upload_quota.QuotaFull:
            outcomes.append(False)
        finally:
            connection.close()

    intent(api, size=0)
    api_key = int(UploadIntent.objects.values_list("api_key_id", flat=True).get() or 0)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == QUOTA // 100
    assert UploadIntent.objects.filter(size=100).count() == QUOTA // 100
