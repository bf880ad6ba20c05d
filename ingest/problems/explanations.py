"""What each code means, in plain words, and what to do about it."""

from dataclasses import dataclass

from ingest.problems.models import Problem

Kind = Problem.Kind


@dataclass(frozen=True, slots=True)
class Explanation:
    """For operators: a title, what happened, what to do."""

    title: str
    meaning: str
    remedy: str


_SEND_AGAIN = (
    "Show the client the sample and its batch's errors (GET …/batches/{batchId}/errors): it mends and sends again."
)
_PARTLY = "A batch of which other records landed is sent again by the client."
_RETRY = "When the cause is gone, retry all in this group."
_FRESH_URL = (
    "Ask the client for a fresh URL (PATCH …/attachments/{attachmentId}), or retry all if the vendor has mended it."
)

_RECORDS = {
    "VALIDATION_ERROR": ("A field breaks its rule", "The record does not fit the envelope at this field.", _SEND_AGAIN),
    "INVALID_JSON": ("The record is no JSON", "A line of an NDJSON file does not parse.", _SEND_AGAIN),
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
    "BAD_REDIRECT": ("Bad redirect", "The vendor redirected to an address that is none, or from https to http.", _FRESH_URL),
    "BAD_RESPONSE": ("Broken answer", "The vendor's answer was no valid HTTP.", _RETRY),
    "BAD_URL": ("Bad URL", "The attachment's URL cannot be used.", _FRESH_URL),
    "BLOCKED_ADDRESS": (
        "Address not allowed",
        "The host's address is not public.",
        "If the host is your own, allow its network (EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS) and retry all.",
    ),
    "BLOCKED_PORT": ("Port not allowed", "Only ports 80, 443 and 1024 to 65535 are dialled.", _FRESH_URL),
    "CONNECT_FAILED": ("No connection", "The host did not take the connection, at any attempt.", _RETRY),
    "CONNECTION_LOST": ("Connection lost", "The connection broke off, at every attempt.", _RETRY),
    "DEADLINE": ("Took too long", "The download did not end within its deadline.", _RETRY),
    "DNS_FAILED": ("Name not found", "The host's name could not be resolved.", "Check the host's name and your DNS; then retry all."),
    "HOST_UNAVAILABLE": ("Host away", "The host failed every download, and files waited for it past their window.", _RETRY),
    "MD5_MISMATCH": ("MD5 does not match", "The bytes are not those that the client declared.", _FRESH_URL),
    "SHA1_MISMATCH": ("SHA-1 does not match", "The bytes are not those that the client declared.", _FRESH_URL),
    "SIZE_MISMATCH": ("Size does not match", "The file is not as long as the client declared.", _FRESH_URL),
    "STORE_REFUSED": ("Object store refused", "The object store does not give the uploaded file.", "Look at the store's policy and log; then retry all."),
    "STORE_UNAVAILABLE": ("Object store away", "The object store did not take the file.", _RETRY),
    "TIMEOUT": ("No answer in time", "The host did not answer in time, at any attempt.", _RETRY),
    "TLS_FAILED": ("TLS failed", "The host's certificate is not valid, or TLS could not be agreed on.", _FRESH_URL),
    "TOO_LARGE": ("Too large", "The file is over EVERMUSE_ATTACHMENT_MAX_BYTES.", "Raise the limit and retry all, if such files are wanted."),
    "TOO_MANY_REDIRECTS": ("Too many redirects", "The vendor redirects in circles.", _FRESH_URL),
    "TOO_SLOW": ("Too slow", "Less than 1 KiB a second came in.", _RETRY),
    "TRUNCATED": ("Cut off", "The body was shorter than announced, at every attempt.", _RETRY),
    "UNEXPECTED_CONTENT": ("A page, not a file", "The vendor sent a page, often a login, or a JSON error where a file was promised.", _FRESH_URL),
    "UNKNOWN_INTENT": ("Unknown upload", "The record names an upload that does not exist, or is another workspace's.", _SEND_AGAIN),
    "INTENT_AND_URL": ("Upload and URL together", "An attachment names either an upload or a URL.", _SEND_AGAIN),
    "INTENT_CLAIMED": ("Upload used twice", "Another attachment has the upload already.", _SEND_AGAIN),
    "INTENT_EXPIRED": ("Upload expired", "The upload was not named in time.", "The client uploads again and sends the record again."),
    "NOT_UPLOADED": ("Nothing uploaded", "The record came, the file did not.", "The client uploads the file; then retry all."),
    "WORKER_CRASHED": (
        "Harms the worker",
        "The file's download hung, crashed or used up the memory of a process of its own, each time it was tried.",
        "Look into the worker's log, where the stacks of a hang are; then retry all.",
    ),
    "WORKER_LOST": ("Workers died at it", "Too many workers ended while they fetched the file.", "Look into the worker's log and memory; then retry all."),
    "HTTP_401": ("Not authorized", "The vendor wants a login for this URL.", _FRESH_URL),
    "HTTP_403": ("Forbidden", "The vendor refuses this URL, often because it has expired.", _FRESH_URL),
    "HTTP_404": ("Not found", "The vendor has no file at this URL.", _FRESH_URL),
    "HTTP_410": ("Gone", "The vendor's file is gone, often because its URL has expired.", _FRESH_URL),
    "HTTP_429": ("Too many requests", "The vendor refused for too many requests, at every attempt.", _RETRY),
}  # fmt: skip

_OTHERS = {
    Kind.BATCHES: Explanation(
        "Batch given up",
        "Worker after worker died while it landed the batch, which was set aside so that others could flow.",
        "Look into the worker's log at that time; when the cause is gone, retry all in this group. Nothing of it is lost.",
    ),
    Kind.WAITING_BATCHES: Explanation(
        "Batches stand still",
        "Accepted batches met a fault on their way and have not landed yet. They are tried again all the time.",
        "Look at the object store, the database and the workers, as the message says. Retrying makes them try at once. "
        "The group resolves itself when nothing waits any more.",
    ),
    Kind.WAITING_FILES: Explanation(
        "Attachments stand still",
        "Files are due and no download begins: their host is paused or held, or no worker runs.",
        "Resume the host under Vendor hosts if it is paused, or look at the workers. Retrying ends a hold of the host. "
        "The group resolves itself when nothing waits any more.",
    ),
}


def of(kind: str, code: str) -> Explanation:
    """The words for a group; a code that has none of its own says what is known."""
    if kind in _OTHERS:
        return _OTHERS[Kind(kind)]
    known = (_RECORDS if kind == Kind.RECORDS else _FILES).get(code)
    if known:
        return Explanation(*known)
    if code.startswith("HTTP_5"):
        return Explanation(
            f"Vendor's fault {code[5:]}", f"The vendor answered HTTP {code[5:]}, at every attempt.", _RETRY
        )
    if code.startswith("HTTP_"):
        return Explanation(f"Refused with {code[5:]}", f"The vendor answered HTTP {code[5:]}.", _FRESH_URL)
    words = code.replace("_", " ").capitalize()
    return Explanation(words, f"{Kind(kind).label}: {words}.", _RETRY if kind == Kind.FILES else _SEND_AGAIN)


def duration(seconds: float) -> str:
    """``95`` → ``1 min 35 s``."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min"), (left, "s")) if n]
    return " ".join(parts[:2]) or "0 s"
