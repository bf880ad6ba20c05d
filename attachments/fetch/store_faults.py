"""What an answer of the object store says about our settings: which one to change, and how."""

from dataclasses import dataclass

import urllib3
from django.conf import settings
from minio.error import InvalidResponseError, S3Error

from evermuse import env, setting_table, store_address
from lake import object_store
from lake.store_client import status_of
from lake.store_credentials import StoreMisconfigured

# The store itself is in trouble or busy. Any other answer is about the request.
_STATUS_OF_A_STORE_IN_TROUBLE = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that the store cannot do for us. ``setting``: the one to look at. No text contains a setting's value."""

    ability: str
    setting: str
    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class Keys:
    """The settings with the keys that a request was signed with."""

    access: str
    secret: str
    token: str
    rights: str


PRODUCT = Keys(
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
    "MINIO_SESSION_TOKEN",
    "give it the rights of `product_policy` in lake/store_accounts.py",
)
UPLOADS = Keys(
    "MINIO_UPLOAD_ACCESS_KEY",
    "MINIO_UPLOAD_SECRET_KEY",
    "MINIO_UPLOAD_SECRET_KEY",
    "give it the rights of `upload_policy` in lake/store_accounts.py",
)


def is_away(error: BaseException) -> bool:
    """Whether the store cannot be reached or is in trouble, so that nothing is known about the settings."""
    if isinstance(error, StoreMisconfigured) or _is_tls(error):
        return False
    status = status_of(error)
    return status is None or status in _STATUS_OF_A_STORE_IN_TROUBLE


def away(error: BaseException) -> str:
    """Why the store cannot be reached, with the setting that says where it is, and the fix."""
    reason = str(object_store.unavailable(error))
    where = f"MINIO_ENDPOINT ({setting_table.shape(settings.MINIO_ENDPOINT)})"
    if status_of(error) is not None:
        return f"{where}: {reason}: look at the store's own log"
    if reason != object_store.UNKNOWN_HOST:
        return f"{where}: {reason}: start the store, or correct MINIO_ENDPOINT"
    with_bucket = store_address.of_bucket(settings.MINIO_ENDPOINT, is_secure=settings.MINIO_SECURE).path == ""
    style = ", or set MINIO_ADDRESSING=path, because the bucket's name is part of the host now" if with_bucket else ""
    return f"{where}: {reason}: correct MINIO_ENDPOINT or the name service{style}"


def explain(ability: str, error: BaseException, *, keys: Keys = PRODUCT) -> Fault:
    """The fault behind a library's error."""
    if isinstance(error, StoreMisconfigured):
        text = str(error)
        return Fault(ability, text.partition(" ")[0].partition("=")[0], text, error.fix)
    if _is_tls(error):
        return Fault(
            ability,
            "MINIO_SECURE",
            f"MINIO_SECURE={_shown(settings.MINIO_SECURE)}: there is no TLS connection that can be trusted",
            "set MINIO_SECURE to false if the store speaks plain http, else name the store's authority in SSL_CERT_FILE",
        )
    code = error.code if isinstance(error, S3Error) else ""
    if found := _by_code(ability, code or "", keys):
        return found
    if isinstance(error, InvalidResponseError):
        return Fault(
            ability,
            "MINIO_ENDPOINT",
            f"{object_store.unavailable(error)}, without the XML of an S3 store",
            "set MINIO_ENDPOINT and MINIO_SECURE to the S3 endpoint of the store",
        )
    return Fault(
        ability,
        "MINIO_ENDPOINT",
        str(object_store.unavailable(error)),
        "use a store, or a version of it, that can do this",
    )


def _by_code(ability: str, code: str, keys: Keys) -> Fault | None:
    bucket = f"MINIO_BUCKET ({setting_table.shape(settings.MINIO_BUCKET)})"
    match code:
        case "InvalidAccessKeyId" | "InvalidClientTokenId":
            is_temporary = bool(settings.MINIO_SESSION_TOKEN) and keys.access == PRODUCT.access
            also = ", and correct or remove MINIO_SESSION_TOKEN" if is_temporary else ""
            return Fault(
                ability, *_key(keys.access, "the store does not know this access key", f"a key of the store{also}")
            )
        case "SignatureDoesNotMatch":
            return Fault(
                ability, *_key(keys.secret, f"it is not the secret of {keys.access}", f"the secret of {keys.access}")
            )
        case "ExpiredToken" | "InvalidToken" | "InvalidSecurity":
            return Fault(ability, *_key(keys.token, "the store does not accept the session token", "a valid token"))
        case "NoSuchBucket":
            return Fault(
                ability,
                "MINIO_BUCKET",
                f"{bucket}: the store has no such bucket",
                "correct MINIO_BUCKET, or let `manage.py bootstrap` create the bucket",
            )
        case "AccessDenied" | "AllAccessDisabled" | "AccountProblem":
            return Fault(
                ability,
                keys.access,
                f"{keys.access} has no right to this in the bucket of {bucket}, or there is no such bucket",
                f"check MINIO_BUCKET; if it is right, {keys.rights}",
            )
        case (
            "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" | "PermanentRedirect" | "RetryHead"
            | "IllegalLocationConstraintException"
        ):  # fmt: skip
            return Fault(
                ability,
                "MINIO_REGION",
                f"MINIO_REGION ({setting_table.shape(settings.MINIO_REGION)}): the bucket is in another region",
                "set MINIO_REGION to the region of the bucket",
            )
        case "RequestTimeTooSkewed":
            return Fault(
                ability, "the clock", "this machine's clock differs from the store's", "synchronise the clocks"
            )
    return None


def _key(setting: str, problem: str, value: str) -> tuple[str, str, str]:
    """Setting, problem and fix for a key."""
    if settings.MINIO_CREDENTIALS != "KEYS" and "UPLOAD" not in setting:
        kind = settings.MINIO_CREDENTIALS.lower()
        return "MINIO_CREDENTIALS", f"MINIO_CREDENTIALS={kind}: {problem}", "correct the source of the keys"
    return setting, f"{setting} ({_shape(setting)}): {problem}", f"set {setting} to {value}"


def _is_tls(error: BaseException) -> bool:
    cause = getattr(error, "reason", None) or error
    return isinstance(cause, urllib3.exceptions.SSLError)


def _shown(value: bool) -> str:
    return str(value).lower()


def _shape(setting: str) -> str:
    # The root's are not among Django's settings.
    return setting_table.shape(getattr(settings, setting, None) or env.text(setting, ""))
