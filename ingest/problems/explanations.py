"""What each error code means and what to do about it, for operators."""

from dataclasses import dataclass

from ingest.problems.models import Problem

Kind = Problem.Kind


@dataclass(frozen=True, slots=True)
class ProblemExplanation:
    """The title, meaning and remedy of a group of failures."""

    title: str
    meaning: str
    remedy: str


_SEND_AGAIN = "Show the client the sample and its batch's errors (GET …/batches/{batchId}/errors): it corrects the records and sends them again."
_PARTLY = "If other records of the batch have landed, the client has to send the rejected ones again."
_RETRY = "When the cause is fixed, retry all in this group."
_FRESH_URL = (
    "Ask the client for a fresh URL (PATCH …/attachments/{attachmentId}), or retry all once the vendor has fixed it."
)

_RECORDS = {
    "VALIDATION_ERROR": ("A field breaks its rule", "The record does not fit the envelope at this field.", _SEND_AGAIN),
    "INVALID_JSON": ("The record is not JSON", "A line of an NDJSON file is not valid JSON.", _SEND_AGAIN),
    "UNKNOWN_PRODUCT": (
        "Unknown product",
        "The record names a product that the workspace does not have.",
        "Add the product to the workspace and retry all, if it should exist; otherwise the mapping is wrong. "
        + _PARTLY,
    ),
    "UNKNOWN_PROJECT": (
        "Unknown project",
        "The record names a project that the workspace does not have.",
        "Add the project to the workspace and retry all, if it should exist; otherwise the mapping is wrong. "
        + _PARTLY,
    ),
}

_FILES = {
    "BAD_REDIRECT": ("Bad redirect", "The vendor redirected to an invalid URL, or from https to http.", _FRESH_URL),
    "BAD_RESPONSE": ("Broken answer", "The vendor's answer was not valid HTTP.", _RETRY),
    "BAD_URL": ("Bad URL", "The attachment's URL cannot be used.", _FRESH_URL),
    "BLOCKED_ADDRESS": (
        "Address not allowed",
        "The host's address is not public.",
        "If the host is your own, allow its network (EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS) and retry all.",
    ),
    "BLOCKED_PORT": ("Port not allowed", "Only the ports 80, 443 and 1024 to 65535 are allowed.", _FRESH_URL),
    "CONNECT_FAILED": ("No connection", "The host refused the connection or did not answer, at every attempt.", _RETRY),
    "CONNECTION_LOST": ("Connection lost", "The connection broke off, at every attempt.", _RETRY),
    "DEADLINE": ("Took too long", "The download did not end within its deadline.", _RETRY),
    "DNS_FAILED": ("Name not found", "The host's name could not be resolved.", "Check the host's name and your DNS; then retry all."),
    "HOST_UNAVAILABLE": ("Host unavailable", "Every download from the host failed, and the files waited for it until their retry window ended.", _RETRY),
    "MD5_MISMATCH": ("MD5 does not match", "The file's checksum differs from the one that the client declared.", _FRESH_URL),
    "SHA1_MISMATCH": ("SHA-1 does not match", "The file's checksum differs from the one that the client declared.", _FRESH_URL),
    "SIZE_MISMATCH": ("Size does not match", "The file's size differs from the one that the client declared.", _FRESH_URL),
    "STORE_REFUSED": ("Object store refused", "The object store refused to return the uploaded file.", "Check the store's policy and log; then retry all."),
    "STORE_UNAVAILABLE": ("Object store unavailable", "The object store did not accept the file.", _RETRY),
    "TIMEOUT": ("No answer in time", "The host did not answer in time, at every attempt.", _RETRY),
    "TLS_FAILED": ("TLS failed", "The host's certificate is not valid, or the TLS handshake failed.", _FRESH_URL),
    "TOO_LARGE": ("Too large", "The file is over EVERMUSE_ATTACHMENT_MAX_BYTES.", "Raise the limit and retry all, if such files are wanted."),
    "TOO_MANY_REDIRECTS": ("Too many redirects", "The vendor redirected too often, perhaps in a loop.", _FRESH_URL),
    "TOO_SLOW": ("Too slow", "Fewer than 1 KiB a second arrived.", _RETRY),
    "TRUNCATED": ("Cut off", "The body was shorter than announced, at every attempt.", _RETRY),
    "UNEXPECTED_CONTENT": ("A page, not a file", "The vendor sent a web page, often a login page, or a JSON error instead of the file.", _FRESH_URL),
    "UNKNOWN_INTENT": ("Unknown upload", "The record names an upload that does not exist or belongs to another workspace.", _SEND_AGAIN),
    "INTENT_AND_URL": ("Upload and URL together", "An attachment must name either an upload or a URL, not both.", _SEND_AGAIN),
    "INTENT_CLAIMED": ("Upload used twice", "Another attachment already uses the upload.", _SEND_AGAIN),
    "INTENT_EXPIRED": ("Upload expired", "No record named the upload in time.", "The client uploads again and sends the record again."),
    "UPLOAD_QUOTA": ("Upload over quota", "The workspace's unclaimed uploads exceeded EVERMUSE_UPLOAD_QUOTA_BYTES, so the file was removed.", "The client declares sizes, sends records soon, uploads again and sends the record again."),
    "NOT_UPLOADED": ("Nothing uploaded", "The record arrived but the file was never uploaded.", "The client uploads the file; then retry all."),
    "WORKER_CRASHED": (
        "Crashes the worker",
        "The download hung, crashed or ran out of memory at each attempt, in a process of its own.",
        "Check the worker's log, which has the stack of a hang; then retry all.",
    ),
    "WORKER_LOST": ("Workers died", "Too many workers died while they downloaded the file.", "Check the worker's log and memory; then retry all."),
    "HTTP_401": ("Not authorized", "The vendor requires a login for this URL.", _FRESH_URL),
    "HTTP_403": ("Forbidden", "The vendor refuses this URL, often because it has expired.", _FRESH_URL),
    "HTTP_404": ("Not found", "The vendor has no file at this URL.", _FRESH_URL),
    "HTTP_410": ("Gone", "The vendor's file is gone, often because its URL has expired.", _FRESH_URL),
    "HTTP_429": ("Too many requests", "The vendor refused because of too many requests, at every attempt.", _RETRY),
}  # fmt: skip

_OTHERS = {
    Kind.BATCHES: ProblemExplanation(
        "Batch given up",
        "Several workers died while they landed the batch. It was set aside so that other batches can land.",
        "Check the worker's log at that time. When the cause is fixed, retry all in this group. No record is lost.",
    ),
    Kind.WAITING_BATCHES: ProblemExplanation(
        "Batches are stuck",
        "Accepted batches met a fault and have not landed yet. They are retried until they land.",
        "Check the object store, the database and the workers, as the message says. Retrying runs them at once. "
        "The group is resolved automatically when nothing waits any more.",
    ),
    Kind.WAITING_FILES: ProblemExplanation(
        "Attachments are stuck",
        "Files are due but no download starts: their host is paused or held, or no worker runs.",
        "Resume the host under Vendor hosts if it is paused, or check the workers. Retrying ends a hold of the host. "
        "The group is resolved automatically when nothing waits any more.",
    ),
    Kind.PROCESSORS: ProblemExplanation(
        "A processor keeps failing",
        "A processor has failed at least three times in a row for batches that have landed. They stay PROCESSING, and the "
        "processor is called again after growing waits. The records can be read meanwhile.",
        "Check the worker's log, which has the exception. When the cause is fixed, retry all in this group to call the "
        "processor at once. The group is resolved automatically when nothing waits any more.",
    ),
}


def of(kind: str, code: str) -> ProblemExplanation:
    """The explanation of a group. A code without one gets a general explanation."""
    if kind in _OTHERS:
        return _OTHERS[Kind(kind)]
    known = (_RECORDS if kind == Kind.RECORDS else _FILES).get(code)
    if known:
        return ProblemExplanation(*known)
    if code.startswith("HTTP_5"):
        return ProblemExplanation(
            f"Vendor's fault {code[5:]}", f"The vendor answered HTTP {code[5:]}, at every attempt.", _RETRY
        )
    if code.startswith("HTTP_"):
        return ProblemExplanation(f"Refused with {code[5:]}", f"The vendor answered HTTP {code[5:]}.", _FRESH_URL)
    words = code.replace("_", " ").capitalize()
    return ProblemExplanation(words, f"{Kind(kind).label}: {words}.", _RETRY if kind == Kind.FILES else _SEND_AGAIN)


def duration(seconds: float) -> str:
    """``95`` → ``1 min 35 s``."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s")) if n]
    return " ".join(parts[:2]) or "0 s"
