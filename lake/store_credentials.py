"""Where the object store's keys come from: settings, AWS's variables or file, or the role that this process runs under.

minio's providers do the work. They are called for every request, and raise errors of many libraries.
"""

import configparser
import threading
import time
from functools import cache
from xml.etree.ElementTree import ParseError

import urllib3
from django.conf import settings
from minio.credentials.credentials import Credentials
from minio.credentials.providers import (
    AWSConfigProvider,
    ChainedProvider,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
    StaticProvider,
)
from minio.error import MinioException

from evermuse import setting_table, store_address

# The longest time for which keys without an expiry are used. Variables and files may change.
KEPT_SECONDS = 60.0
_FAULTS = (
    ValueError, KeyError, TypeError, ParseError, configparser.Error, MinioException, urllib3.exceptions.HTTPError, OSError,
)  # fmt: skip


# What helps if a source has no keys.
_FIX = {
    "ENVIRONMENT": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "FILE": "write them to ~/.aws/credentials, or name the file in AWS_SHARED_CREDENTIALS_FILE and the profile in AWS_PROFILE",
    "ROLE": "give this machine, container or service account a role, or correct MINIO_ROLE_ENDPOINT",
    "CHAIN": "set AWS's variables, write its file of credentials, or give this machine a role",
}


class StoreMisconfigured(MinioException):
    """A setting of the object store cannot be used. The text names the setting, and never contains its value."""

    fix = "correct the setting"


class NoKeys(StoreMisconfigured):
    """There are no keys, at least at the moment."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.fix = _FIX.get(settings.MINIO_CREDENTIALS, self.fix)


def bad_bucket_name() -> StoreMisconfigured:
    """The error for a MINIO_BUCKET that no store takes."""
    shape = setting_table.shape(settings.MINIO_BUCKET)
    return StoreMisconfigured(f"MINIO_BUCKET ({shape}) is not the name of a bucket: {store_address.BUCKET_RULE}")


class _Kept(Provider):
    """A provider for several threads that asks the one below it seldom and raises `NoKeys`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._lock = threading.Lock()
        self._found: tuple[float, Credentials] | None = None

    def retrieve(self) -> Credentials:
        with self._lock:
            if self._found is not None:
                until, credentials = self._found
                if time.monotonic() < until and not credentials.is_expired():
                    return credentials
            try:
                credentials = self._provider.retrieve()
            except _FAULTS as error:
                kind = settings.MINIO_CREDENTIALS.lower()
                # The library's own text may contain a token.
                raise NoKeys(f"MINIO_CREDENTIALS={kind}: there are no keys ({type(error).__name__})") from None
            self._found = time.monotonic() + KEPT_SECONDS, credentials
            return credentials


def new_provider() -> Provider:
    """A provider of the keys for reading and writing. Raises StoreMisconfigured."""
    kind = settings.MINIO_CREDENTIALS
    if kind == "KEYS":
        for name in ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"):
            if not getattr(settings, name):
                raise NoKeys(f"{name} is not set")
        return StaticProvider(
            settings.MINIO_ACCESS_KEY, settings.MINIO_SECRET_KEY, settings.MINIO_SESSION_TOKEN or None
        )
    return _Kept(_outside(kind))


def _outside(kind: str) -> Provider:
    if kind == "ENVIRONMENT":
        return EnvAWSProvider()
    if kind == "FILE":
        return AWSConfigProvider()
    if kind == "ROLE":
        return _role()
    # The role comes last: minio's chain ends at a provider that cannot be reached.
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), _role()])


def _role() -> Provider:
    """A role of EC2, ECS or EKS, found by AWS's variables."""
    timeout = urllib3.Timeout(connect=2.0, read=5.0)
    return IamAwsProvider(
        custom_endpoint=settings.MINIO_ROLE_ENDPOINT or None,
        region=settings.MINIO_REGION or None,
        http_client=urllib3.PoolManager(timeout=timeout, retries=urllib3.Retry(0, redirect=False)),
    )


@cache
def provider() -> Provider:
    """This process's provider. Threads may share it."""
    return new_provider()
