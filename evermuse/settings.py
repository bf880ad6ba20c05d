"""All settings, read once from the environment. Safe for production by default.

Each reader describes its setting; `make docs-settings` writes the table of ``evermuse/docs/configure.md`` from that.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from evermuse import env, logs, server_urls
from evermuse.theme import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent
EVERMUSE_HOME = env.home()

# Commands that sign nothing for others (migrations' dry run, checks) need no secret: they get one that nobody knows.
# Django's prefix makes `check --deploy` say so; serving processes refuse it (`evermuse.serving`).
SECRET_KEY = (
    env.text(
        "EVERMUSE_SECRET_KEY",
        "",
        help="Signs sessions, cursors and links. At least 32 random characters. Web, workers and beat do not start without it.",
        shown="made once by `make run`",
    )
    or f"django-insecure-{secrets.token_urlsafe(48)}"
)
# Never on: its pages show settings and stack traces, where the contract promises JSON.
DEBUG = False
ALLOWED_HOSTS = env.words(
    "EVERMUSE_ALLOWED_HOSTS", "127.0.0.1,localhost", help="Host names that requests may name, separated by commas."
)
CSRF_TRUSTED_ORIGINS = env.words(
    "EVERMUSE_CSRF_TRUSTED_ORIGINS",
    help="Origins that forms of the admin may come from, such as `https://ingest.example`, separated by commas.",
)

INSTALLED_APPS = [
    "ingest.activity.apps.ActivityConfig",  # before the theme: its template is the admin's index
    "evermuse.theme_app.ThemeConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "ingest.apps.IngestConfig",
    "lake.apps.LakeConfig",
    "attachments.apps.AttachmentsConfig",
    "ingest.problems.apps.ProblemsConfig",
]

MIDDLEWARE = [
    "evermuse.request_ids.RequestIds",
    "django.middleware.security.SecurityMiddleware",
    "evermuse.security_headers.SecurityHeaders",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "evermuse.page_middleware.Sessions",
    "django.middleware.csrf.CsrfViewMiddleware",
    "evermuse.page_middleware.Login",
    "evermuse.page_middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "evermuse.urls"
WSGI_APPLICATION = "evermuse.wsgi.application"
APPEND_SLASH = False
LOGIN_REDIRECT_URL = "/admin/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_DATABASE: dict[str, Any] = env.database(
    help="PostgreSQL: `postgresql://user:password@host:port/name`. Every parameter of libpq is honoured, such as `?sslmode=verify-full&sslrootcert=…`, host lists and sockets; an unknown one is refused."
)
_TIMEOUTS = "-c statement_timeout=30000 -c lock_timeout=20000 -c idle_in_transaction_session_timeout=60000"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **_DATABASE,
        # One connection per thread, kept open; Celery's children open their own (never a pool there: Celery closes it).
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        # What the URL says comes last: in `options` too, PostgreSQL takes the last of two.
        "OPTIONS": {
            "connect_timeout": 3,
            "tcp_user_timeout": 10_000,
            "application_name": "evermuse",
            **(_URL_OPTIONS := _DATABASE.get("OPTIONS", {})),
            "options": f"{_TIMEOUTS} {_URL_OPTIONS.get('options', '')}".strip(),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# The documentation, as `make docs` builds it: the directory holds docs/ and llms.txt. They are served without a login.
WHITENOISE_ROOT = BASE_DIR / "evermuse" / "docs" / "_site" / "web"
WHITENOISE_INDEX_FILE = True
WHITENOISE_MIMETYPES = {".md": "text/markdown"}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# -- Logins of the admin (django-axes, in PostgreSQL) --
AUTHENTICATION_BACKENDS = ["evermuse.logins.Throttle", "django.contrib.auth.backends.ModelBackend"]
# By name and address together: nobody locks an administrator out from elsewhere. `evermuse.logins` limits an address too.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "evermuse.logins.Handler"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Or whoever goes on trying would keep the login closed for good.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
# Names and addresses are what the log is for; passwords never are in it.
AXES_SENSITIVE_PARAMETERS: list[str] = []
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ACCESS_FAILURE_LOG = True
# `evermuse.asgi` gives the client's address here, by a trusted proxy's word where one stands in front.
AXES_CLIENT_IP_CALLABLE = "evermuse.logins.address"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "ingest.api.exception_handler.csrf_failed"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
# HTTPS ends at the proxy in front; EVERMUSE_HTTPS says that there is one.
EVERMUSE_HTTPS = env.flag(
    "EVERMUSE_HTTPS",
    default=False,
    help="Whether an HTTPS proxy stands in front: secure cookies, HSTS, redirects to https.",
)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = EVERMUSE_HTTPS
if EVERMUSE_HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 31_536_000
    SECURE_SSL_REDIRECT = True
    # Asked from inside, past the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^healthz", r"^readyz", r"^metrics"]
    # Whether other names of the domain speak HTTPS is not ours to say.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["ingest.clients.credentials.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["ingest.api.permissions.Denied"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "ingest.api.negotiation.IgnoreAccept",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "ingest.api.exception_handler.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Evermuse Ingest",
    "DESCRIPTION": "Send what your customers say; read back what became of it.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "OAS_VERSION": "3.1.1",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "ingest.api.schema.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# -- Celery: hints only (`evermuse.celery`). PostgreSQL holds the queue of record: a message may be lost or late. --
REDIS_URL = env.read(
    "REDIS_URL",
    "redis://127.0.0.1:6379/1",
    server_urls.redis,
    help="Redis or Valkey for the rate limits: `redis://` or `rediss://`. With `rediss://` certificates are checked; it takes `ssl_cert_reqs`, `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` and `ssl_check_hostname`. Other parameters are refused.",
    shown="embedded",
)

# -- Object store --
MINIO_ENDPOINT = env.read(
    "MINIO_ENDPOINT",
    "127.0.0.1:9000",
    server_urls.endpoint,
    help="Host and port of the object store.",
    shown="embedded",
)
MINIO_ACCESS_KEY = env.text(
    "MINIO_ACCESS_KEY", "", help="The access key that reads and writes objects.", shown="embedded"
)
MINIO_SECRET_KEY = env.text("MINIO_SECRET_KEY", "", help="The secret of `MINIO_ACCESS_KEY`.", shown="embedded")
MINIO_SECURE = env.flag("MINIO_SECURE", default=False, help="Whether the object store is reached by https.")
# Upload intents are signed with these: they may only PUT under uploads/. Without, with the ones above.
MINIO_UPLOAD_ACCESS_KEY = env.text(
    "MINIO_UPLOAD_ACCESS_KEY",
    "",
    help="The access key that signs upload intents. It may only put under `uploads/`. Without it `MINIO_ACCESS_KEY` signs them, with a warning.",
    shown="embedded",
)
MINIO_UPLOAD_SECRET_KEY = env.text(
    "MINIO_UPLOAD_SECRET_KEY", "", help="The secret of `MINIO_UPLOAD_ACCESS_KEY`.", shown="embedded"
)
MINIO_BUCKET = env.text("MINIO_BUCKET", "evermuse-lake", help="The bucket for records and files.")
# What clients and browsers reach the object store by, when that is another address than ours.
MINIO_PUBLIC_ENDPOINT = env.read(
    "MINIO_PUBLIC_ENDPOINT",
    MINIO_ENDPOINT,
    server_urls.endpoint,
    help="The object store's address in the URLs that clients and browsers get.",
    shown="`MINIO_ENDPOINT`",
)
MINIO_PUBLIC_SECURE = env.flag(
    "MINIO_PUBLIC_SECURE", default=MINIO_SECURE, help="Whether those URLs begin with https.", shown="`MINIO_SECURE`"
)
EVERMUSE_DOWNLOAD_URLS = env.choice(
    "EVERMUSE_DOWNLOAD_URLS",
    "STORE",
    ("STORE", "WEB"),
    help="Who serves stored files. `store`: presigned URLs of the object store, which should send `X-Content-Type-Options: nosniff`, as MinIO does. `web`: the web process, by URLs that begin with `EVERMUSE_PUBLIC_URL`.",
    shown="`store`; `web` with the embedded store",
)

# -- The product's own --
EVERMUSE_RATE_LIMIT = env.integer(
    "EVERMUSE_RATE_LIMIT", 10, minimum=1, help="Requests in any second for a key that has no limit of its own."
)
_FLOWER_PORT = env.integer("EVERMUSE_FLOWER_PORT", 5555, help="Flower's port on 127.0.0.1.")
EVERMUSE_FLOWER_URL = env.text(
    "EVERMUSE_FLOWER_URL",
    f"http://127.0.0.1:{_FLOWER_PORT}",
    help="The address of Flower in the admin's links.",
    shown="Flower's port on 127.0.0.1",
)
EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = env.networks(
    "EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS",
    help="Networks in CIDR form that downloads may reach although they are not public, separated by commas. Our own servers are never dialled.",
)
# Beside the servers that other settings name: host:port that downloads never dial.
EVERMUSE_OWN_SERVERS = env.words(
    "EVERMUSE_OWN_SERVERS",
    help="Servers as `host:port` that downloads never dial, separated by commas. Those that other settings name need not be listed.",
    shown="empty; all of its ports with `make run`",
)
EVERMUSE_ATTACHMENT_MAX_BYTES = env.integer(
    "EVERMUSE_ATTACHMENT_MAX_BYTES", 2 * 1024**3, minimum=1, help="The largest file, in bytes."
)
EVERMUSE_ATTACHMENT_MAX_ATTEMPTS = env.integer(
    "EVERMUSE_ATTACHMENT_MAX_ATTEMPTS", 6, minimum=1, help="How often a download is tried whose fault can pass."
)
EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS = env.integer(
    "EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS", 240, minimum=1, help="For how long a download is tried again."
)
EVERMUSE_ATTACHMENT_CONCURRENCY = env.integer(
    "EVERMUSE_ATTACHMENT_CONCURRENCY", 16, minimum=1, help="Download threads of a worker."
)
EVERMUSE_ATTACHMENT_SLOW_TRANSFERS = env.integer(
    "EVERMUSE_ATTACHMENT_SLOW_TRANSFERS",
    32,
    minimum=0,
    help="Slow downloads that a worker carries beside its slots. Each holds a database connection and up to 24 MB.",
)
EVERMUSE_ATTACHMENT_ALONE_BYTES = env.integer(
    "EVERMUSE_ATTACHMENT_ALONE_BYTES",
    1024**3,
    minimum=256 * 1024**2,
    help="Memory of the process that fetches a file during which a worker died.",
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
    help="Failures in a row after which a workspace's downloads from a host begin one by one.",
)
EVERMUSE_UPLOAD_QUOTA_BYTES = env.integer(
    "EVERMUSE_UPLOAD_QUOTA_BYTES",
    10 * 1024**3,
    minimum=1,
    help="How many bytes a workspace's unclaimed uploads may hold together.",
)
EVERMUSE_UPLOAD_INTENT_SECONDS = env.integer(
    "EVERMUSE_UPLOAD_INTENT_SECONDS", 86_400, minimum=60, help="For how long an upload intent can be used."
)
EVERMUSE_ATTACHMENT_DEADLINE_SECONDS = env.integer(
    "EVERMUSE_ATTACHMENT_DEADLINE_SECONDS", 3600, minimum=1, help="The longest time for one attempt, whatever its rate."
)
EVERMUSE_METRICS_NETWORKS = env.networks(
    "EVERMUSE_METRICS_NETWORKS",
    help="Networks in CIDR form that may read `/metrics` besides this host. A request through a proxy is judged by the client address that the proxy names.",
)
EVERMUSE_METRICS_TOKEN = env.text(
    "EVERMUSE_METRICS_TOKEN", "", help="Whoever sends this token (`Authorization: Bearer …`) may read `/metrics`."
)
EVERMUSE_LEASE_SECONDS = env.integer(
    "EVERMUSE_LEASE_SECONDS", 30, minimum=2, help="Time after which the work of a silent worker is taken over."
)
EVERMUSE_HANG_SECONDS = env.integer(
    "EVERMUSE_HANG_SECONDS",
    20,
    minimum=3,
    help="Time after which a worker process whose interpreter hangs ends itself and is started again.",
)
EVERMUSE_BODY_TIMEOUT_SECONDS = env.integer(
    "EVERMUSE_BODY_TIMEOUT_SECONDS", 30, minimum=1, help="Time within which a request's body must have arrived."
)

# -- The web process (`evermuse.web`); all of it per process --
# POST and PATCH; GET; pages for people. Each thread keeps a database connection.
EVERMUSE_WEB_THREADS = env.integer(
    "EVERMUSE_WEB_THREADS",
    4,
    minimum=1,
    help="Threads of a web process for `POST` and `PATCH`. Each keeps a database connection.",
)
EVERMUSE_WEB_READ_THREADS = env.integer(
    "EVERMUSE_WEB_READ_THREADS",
    4,
    minimum=1,
    help="Threads of a web process for `GET`. Each keeps a database connection.",
)
EVERMUSE_WEB_PAGE_THREADS = env.integer(
    "EVERMUSE_WEB_PAGE_THREADS",
    2,
    minimum=1,
    help="Threads of a web process for the admin and other pages. Each keeps a database connection.",
)
EVERMUSE_BODY_BUDGET_BYTES = env.integer(
    "EVERMUSE_BODY_BUDGET_BYTES",
    64 * 1024**2,
    minimum=6 * 1024**2,
    help="What the unfinished bodies of a web process may hold together. Beyond, a request gets 503 with `retryAfter`.",
)
EVERMUSE_ANSWER_BUDGET_BYTES = env.integer(
    "EVERMUSE_ANSWER_BUDGET_BYTES",
    32 * 1024**2,
    minimum=8 * 1024**2,
    help="What the large answers of a web process may hold together. Beyond, readers wait for room.",
)
EVERMUSE_CONNECTIONS_PER_ADDRESS = env.integer(
    "EVERMUSE_CONNECTIONS_PER_ADDRESS",
    512,
    minimum=1,
    help="Connections of one client address (of a /64 with IPv6) to a web process.",
)
# Whose X-Forwarded-For is believed.
EVERMUSE_TRUSTED_PROXIES = env.networks(
    "EVERMUSE_TRUSTED_PROXIES",
    help="Networks in CIDR form of the proxies in front. They are not limited themselves. The client is the last address in their `X-Forwarded-For` that is none of theirs.",
)
# Longer than what stands in front keeps a connection (nginx and load balancers: 60 s), so that it is never we who close.
EVERMUSE_KEEP_ALIVE_SECONDS = env.integer(
    "EVERMUSE_KEEP_ALIVE_SECONDS", 75, minimum=1, help="For how long an idle connection is kept."
)
EVERMUSE_HEAD_TIMEOUT_SECONDS = env.integer(
    "EVERMUSE_HEAD_TIMEOUT_SECONDS", 15, minimum=1, help="Time within which a request's head must have arrived."
)
# The contract lets a reader pause for 5 minutes.
EVERMUSE_READER_PAUSE_SECONDS = env.integer(
    "EVERMUSE_READER_PAUSE_SECONDS", 330, minimum=1, help="For how long the reader of an answer may pause."
)
EVERMUSE_STREAM_SECONDS = env.integer(
    "EVERMUSE_STREAM_SECONDS", 4 * 3600, minimum=1, help="The longest time for one answer."
)
EVERMUSE_STREAMS_PER_KEY = env.integer(
    "EVERMUSE_STREAMS_PER_KEY",
    4,
    minimum=1,
    help="NDJSON streams that a key may have open at once, over all processes.",
)

_BUILT_IN_PROCESSORS = ("attachments.processor.AttachmentDownloads",)
_ADDED_PROCESSORS = env.words(
    "EVERMUSE_PROCESSORS",
    help="Processors besides the download of attachments: import paths of classes, separated by commas. See [Extend](extend.md#a-processor).",
)
# A deployment that names the built-in one as well, as was needed once, gets it once.
EVERMUSE_PROCESSORS = list(dict.fromkeys([*_BUILT_IN_PROCESSORS, *_ADDED_PROCESSORS]))
EVERMUSE_APPS = env.words(
    "EVERMUSE_APPS",
    help="Django apps besides the product's own, such as those of processors with tables: import paths, separated by commas. `manage.py migrate` makes their tables.",
)
INSTALLED_APPS += EVERMUSE_APPS

# -- Retention (`evermuse.retention`): for how many days what is kept; 0: until it may go --
EVERMUSE_REJECTED_RECORD_RETENTION_DAYS = env.integer(
    "EVERMUSE_REJECTED_RECORD_RETENTION_DAYS",
    90,
    help="Days for which rejected records are kept after their batch has settled.",
)
EVERMUSE_OUTCOME_RETENTION_DAYS = env.integer(
    "EVERMUSE_OUTCOME_RETENTION_DAYS",
    90,
    help="Days for which the outcome of each record is kept after its batch has settled.",
)
EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS = env.integer(
    "EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS",
    90,
    help="Days for which download attempts, and with them a batch's attachment ledger, are kept after the batch has settled.",
)
EVERMUSE_VERSION_RETENTION_DAYS = env.integer(
    "EVERMUSE_VERSION_RETENTION_DAYS", 90, help="Days for which a version of a record is kept after it was replaced."
)
# The contract promises 24 hours.
EVERMUSE_IDEMPOTENCY_RETENTION_DAYS = env.integer(
    "EVERMUSE_IDEMPOTENCY_RETENTION_DAYS",
    1,
    minimum=1,
    help="Days for which the answer to an `Idempotency-Key` is kept and repeated.",
)
EVERMUSE_UPLOAD_RETENTION_DAYS = env.integer(
    "EVERMUSE_UPLOAD_RETENTION_DAYS",
    90,
    help="Days for which an upload intent is kept after it expired. One that no record named goes when it expires.",
)
EVERMUSE_PROBLEM_RETENTION_DAYS = env.integer(
    "EVERMUSE_PROBLEM_RETENTION_DAYS", 90, help="Days for which a problem group is kept after it was last seen."
)
EVERMUSE_JOB_RETENTION_DAYS = env.integer(
    "EVERMUSE_JOB_RETENTION_DAYS", 90, help="Days for which a job is kept after it finished."
)
EVERMUSE_ALERT_RETENTION_DAYS = env.integer(
    "EVERMUSE_ALERT_RETENTION_DAYS", 90, help="Days for which an alert is kept after it was written."
)
EVERMUSE_AUDIT_RETENTION_DAYS = env.integer(
    "EVERMUSE_AUDIT_RETENTION_DAYS", 90, help="Days for which the audit log is kept."
)
EVERMUSE_LOGIN_RETENTION_DAYS = env.integer(
    "EVERMUSE_LOGIN_RETENTION_DAYS", 90, help="Days for which failed logins are kept."
)
# A session that has expired is of no use to anybody.
EVERMUSE_SESSION_RETENTION_DAYS = env.integer(
    "EVERMUSE_SESSION_RETENTION_DAYS", 0, help="Days for which a session of the admin is kept after it expired."
)

# -- Alerts (`ingest.problems`) --
EVERMUSE_ALERT_WEBHOOK_URL = env.text("EVERMUSE_ALERT_WEBHOOK_URL", "", help="Where alerts are sent as a JSON `POST`.")
EVERMUSE_ALERT_WEBHOOK_SECRET = env.text(
    "EVERMUSE_ALERT_WEBHOOK_SECRET", "", help="Signs them: `X-Evermuse-Signature: sha256=` and the HMAC of the body."
)
EVERMUSE_ALERT_EMAILS = env.words(
    "EVERMUSE_ALERT_EMAILS", help="Addresses that alerts are sent to, separated by commas."
)
EVERMUSE_ALERT_BACKLOG_SECONDS = env.integer(
    "EVERMUSE_ALERT_BACKLOG_SECONDS",
    300,
    help="Age of the oldest waiting batch or due file that raises an alert. 0 turns it off.",
)
EVERMUSE_PROBLEM_STUCK_SECONDS = env.integer(
    "EVERMUSE_PROBLEM_STUCK_SECONDS",
    120,
    minimum=1,
    help="Time after a fault when a batch or file counts as standing still.",
)
EVERMUSE_PUBLIC_URL = env.text(
    "EVERMUSE_PUBLIC_URL",
    "",
    help="The address that clients and people reach the web process by, for links in alerts and for `EVERMUSE_DOWNLOAD_URLS=web`.",
).rstrip("/")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EVERMUSE_EMAIL_FROM", "evermuse@localhost", help="The sender of mail.")
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS, EMAIL_USE_SSL = env.mail_server(
    help="The mail server: `smtp://`, `smtp+starttls://` or `smtps://` with `user:password@host:port`."
)
EMAIL_TIMEOUT = 5

LOGGING_CONFIG = None
logs.configure(
    level=env.choice(
        "EVERMUSE_LOG_LEVEL", "INFO", logs.LEVELS, help="`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`."
    ),
    as_json=env.flag("EVERMUSE_LOG_JSON", default=False, help="Whether log lines are JSON."),
)

# -- Read by the embedded stack, the commands and Flower by themselves --
env.elsewhere("EVERMUSE_HOME", "./var", "The directory of all state of `make run`.")
_PORT = env.integer("EVERMUSE_PORT", 8000, minimum=1, help="The web process's port on 127.0.0.1.")
# What the URLs of EVERMUSE_DOWNLOAD_URLS=web begin with.
EVERMUSE_DOWNLOAD_BASE_URL = EVERMUSE_PUBLIC_URL or f"http://127.0.0.1:{_PORT}"
env.elsewhere("EVERMUSE_WEB_WORKERS", "", "Web processes.", shown="by cores")
env.elsewhere("EVERMUSE_LANDING_CONCURRENCY", "", "Landing processes of a worker.", shown="by cores")
env.elsewhere("EVERMUSE_ADMIN_USERNAME", "admin", "The admin's login, made by `manage.py bootstrap`.")
env.elsewhere(
    "EVERMUSE_ADMIN_PASSWORD",
    "",
    "The password of `EVERMUSE_ADMIN_USERNAME`, at least 12 characters.",
    shown="made once by `make run`",
)
env.elsewhere(
    "MINIO_ROOT_USER", "", "The store's root, for `manage.py bootstrap` alone: it makes the users of the other keys."
)
env.elsewhere("MINIO_ROOT_PASSWORD", "", "The password of `MINIO_ROOT_USER`.")
env.elsewhere("EVERMUSE_FLOWER_USERNAME", "flower", "Flower's own login. Flower does not start without one.")
env.elsewhere(
    "EVERMUSE_FLOWER_PASSWORD", "", "The password of `EVERMUSE_FLOWER_USERNAME`.", shown="made once by `make run`"
)
