"""How the URLs of the object store name host, bucket and region. Needs no network.

Every process checks its settings with this module, and many need no store: minio is imported where it is used, because that takes
a tenth of their start.
"""

from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

if TYPE_CHECKING:
    from minio import Minio

DEFAULT_REGION = "us-east-1"
BUCKET_RULE = (
    "3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends, no dot beside a dot or hyphen, "
    "and not an IP address"
)


class BucketAddress(NamedTuple):
    """``host``: with the port, if any. ``path``: what all paths of the bucket begin with; empty if the host names it."""

    host: str
    path: str


def is_bucket_name(name: str) -> bool:
    """Whether every S3 store takes this name."""
    from minio.helpers import check_bucket_name

    try:
        check_bucket_name(name, strict=True, s3_check=True)
    except ValueError:
        return False
    return True


def region(endpoint: str) -> str:
    """The region to sign for. Raises ValueError for an endpoint that no S3 store can have."""
    from minio.helpers import BaseURL

    return BaseURL(f"https://{endpoint}", settings.MINIO_REGION or None).region or DEFAULT_REGION


def of_bucket(endpoint: str, *, is_secure: bool) -> BucketAddress:
    """The bucket at an endpoint. Raises ValueError like `region`."""
    from minio.helpers import BaseURL

    scheme = "https" if is_secure else "http"
    base = BaseURL(f"{scheme}://{endpoint}", region(endpoint))
    if settings.MINIO_ADDRESSING != "AUTO":
        base.virtual_style_flag = settings.MINIO_ADDRESSING == "VIRTUAL"
    url = base.build(method="GET", region=region(endpoint), bucket_name=settings.MINIO_BUCKET)
    return BucketAddress(url.netloc, url.path.rstrip("/"))


def apply_style(client: "Minio") -> None:
    """Let a client name the bucket as MINIO_ADDRESSING says."""
    if settings.MINIO_ADDRESSING == "VIRTUAL":
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    elif settings.MINIO_ADDRESSING == "PATH":
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]


def public_origin() -> str:
    """Scheme and host of the URLs that browsers get."""
    try:
        host = of_bucket(settings.MINIO_PUBLIC_ENDPOINT, is_secure=settings.MINIO_PUBLIC_SECURE).host
    except ValueError:
        host = settings.MINIO_PUBLIC_ENDPOINT
    return f"{'https' if settings.MINIO_PUBLIC_SECURE else 'http'}://{host}"
