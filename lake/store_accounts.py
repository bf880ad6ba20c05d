"""The product's users of a MinIO server: one for the bucket, and one that may only put under ``uploads/``.

Other stores have no common interface for users. There an administrator creates them with the same rights, as
``deploy/seaweedfs/start.sh`` does for SeaweedFS.
"""

from typing import Any

from django.conf import settings
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider

from evermuse import store_address
from lake import object_store, store_credentials

BUCKET_ACTIONS = ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"]
OBJECT_ACTIONS = [
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
]  # fmt: skip


def ensure(*, root_user: str, root_password: str) -> None:
    """Create the bucket as the store's root, and on MinIO the users and policies too. May be repeated.

    A changed secret takes effect on MinIO. Other stores read their users from their own files.
    """
    if not store_address.is_bucket_name(settings.MINIO_BUCKET):
        raise store_credentials.bad_bucket_name()
    root = Minio(
        settings.MINIO_ENDPOINT,
        access_key=root_user,
        secret_key=root_password,
        secure=settings.MINIO_SECURE,
        region=store_address.region(settings.MINIO_ENDPOINT),
        http_client=object_store.new_pool(),
    )
    store_address.apply_style(root)
    if not root.bucket_exists(settings.MINIO_BUCKET):
        root.make_bucket(settings.MINIO_BUCKET)
    if not _is_minio():
        return
    admin = MinioAdmin(
        endpoint=settings.MINIO_ENDPOINT,
        credentials=StaticProvider(root_user, root_password),
        secure=settings.MINIO_SECURE,
        http_client=object_store.new_pool(),
    )
    _ensure_user(admin, settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY, product_policy(settings.MINIO_BUCKET))
    if settings.MINIO_UPLOAD_ACCESS_KEY:
        policy = upload_policy(settings.MINIO_BUCKET)
        _ensure_user(admin, settings.MINIO_UPLOAD_ACCESS_KEY, settings.MINIO_UPLOAD_SECRET_KEY, policy)


def _is_minio() -> bool:
    scheme = "https" if settings.MINIO_SECURE else "http"
    answer = object_store.new_pool().request("GET", f"{scheme}://{settings.MINIO_ENDPOINT}/minio/health/live")
    return answer.status == 200


def _ensure_user(admin: MinioAdmin, access_key: str, secret_key: str, policy: dict[str, Any]) -> None:
    admin.policy_add(access_key, policy=policy)
    admin.user_add(access_key, secret_key)
    admin.policy_set(access_key, user=access_key)


def product_policy(bucket: str) -> dict[str, Any]:
    """What the product may do with its bucket. It may not use any other bucket."""
    return _policy((BUCKET_ACTIONS, f"arn:aws:s3:::{bucket}"), (OBJECT_ACTIONS, f"arn:aws:s3:::{bucket}/*"))


def upload_policy(bucket: str) -> dict[str, Any]:
    """What an upload URL may do. It may not read, so it cannot copy objects either."""
    return _policy((["s3:PutObject"], f"arn:aws:s3:::{bucket}/uploads/*"))


def _policy(*rights: tuple[list[str], str]) -> dict[str, Any]:
    statements = [{"Effect": "Allow", "Action": actions, "Resource": [resource]} for actions, resource in rights]
    return {"Version": "2012-10-17", "Statement": statements}
