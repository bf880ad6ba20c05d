"""Downloads of attachments and uploads by clients: limits, retries and the networks that may be reached."""

from evermuse import env, server_urls

EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = env.networks(
    "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS",
    help="Networks in CIDR form that downloads may reach although they are not public, separated by commas. Our own servers are never dialled.",
)
EVERMUSE_OWN_SERVERS = env.words(
    "EVERMUSE_OWN_SERVERS",
    check=server_urls.check_endpoint,
    kind="host:port",
    help="Servers as `host:port` that downloads never dial, separated by commas. Those that other settings name need not be listed.",
    shown="empty; all of its ports with `make run`",
)
EVERMUSE_ATTACHMENT_MAX_BYTES = env.integer(
    "EVERMUSE_ATTACHMENT_MAX_BYTES", 2 * 1024**3, minimum=1, help="The largest file, in bytes."
)
EVERMUSE_ATTACHMENT_MAX_ATTEMPTS = env.integer(
    "EVERMUSE_ATTACHMENT_MAX_ATTEMPTS",
    6,
    minimum=1,
    maximum=1000,
    help="The most attempts at a download that fails with transient errors, including the first.",
)
EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS = env.integer(
    "EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS",
    240,
    minimum=1,
    help="Retries start at most this many seconds after the first attempt.",
)
EVERMUSE_ATTACHMENT_CONCURRENCY = env.integer(
    "EVERMUSE_ATTACHMENT_CONCURRENCY", 16, minimum=1, maximum=1024, help="Download threads of a worker."
)
EVERMUSE_ATTACHMENT_SLOW_TRANSFERS = env.integer(
    "EVERMUSE_ATTACHMENT_SLOW_TRANSFERS",
    32,
    minimum=0,
    maximum=1024,
    help="Slow downloads that a worker runs in addition to its threads. Each holds a database connection and up to 24 MB.",
)
EVERMUSE_ATTACHMENT_ALONE_BYTES = env.integer(
    "EVERMUSE_ATTACHMENT_ALONE_BYTES",
    1024**3,
    minimum=256 * 1024**2,
    help="Memory, in bytes, of the separate process that fetches a file after a worker died while it fetched it.",
)
EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = env.integer(
    "EVERMUSE_ATTACHMENT_HOST_CONCURRENCY",
    8,
    minimum=1,
    help="Downloads from one host at once for a workspace, over all workers.",
)
EVERMUSE_ATTACHMENT_BREAKER_FAILURES = env.integer(
    "EVERMUSE_ATTACHMENT_BREAKER_FAILURES",
    50,
    minimum=1,
    help="Failures in a row after which a workspace's downloads from a host start one at a time.",
)
EVERMUSE_UPLOAD_QUOTA_BYTES = env.integer(
    "EVERMUSE_UPLOAD_QUOTA_BYTES",
    10 * 1024**3,
    minimum=1,
    help="The most bytes of all unclaimed uploads of a workspace together.",
)
EVERMUSE_UPLOAD_INTENT_SECONDS = env.integer(
    "EVERMUSE_UPLOAD_INTENT_SECONDS",
    86_400,
    minimum=60,
    maximum=7 * 86_400,
    help="Seconds for which an upload intent is valid.",
)
EVERMUSE_ATTACHMENT_DEADLINE_SECONDS = env.integer(
    "EVERMUSE_ATTACHMENT_DEADLINE_SECONDS", 3600, minimum=1, help="The longest time for one attempt at a download."
)
EVERMUSE_UPLOAD_RETENTION_DAYS = env.integer(
    "EVERMUSE_UPLOAD_RETENTION_DAYS",
    90,
    help="Days for which an upload intent is kept after it expired. One that no record named is removed when it expires.",
)
EVERMUSE_DOWNLOAD_URLS = env.choice(
    "EVERMUSE_DOWNLOAD_URLS",
    "STORE",
    ("STORE", "WEB"),
    help="Who serves stored files. `store`: presigned URLs of the object store, which should send `X-Content-Type-Options: nosniff`, as MinIO does. `web`: the web process, by URLs that begin with `EVERMUSE_PUBLIC_URL`.",
    shown="`store`; `web` with the embedded store",
)
