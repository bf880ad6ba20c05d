"""The object store as the tests look at it."""

from collections.abc import Mapping
from typing import Any

from minio import Minio


def store_client(settings: Mapping[str, str], who: str = "MINIO", **options: Any) -> Minio:
    """A client with a login from the product's settings. ``who``: the beginning of its variables. ``options``: for minio's client."""
    return Minio(
        settings["MINIO_ENDPOINT"],
        settings[f"{who}_ACCESS_KEY"],
        settings[f"{who}_SECRET_KEY"],
        secure=False,
        region="us-east-1",
        **options,
    )
