"""All settings, read once from the environment. The defaults are safe for production.

`evermuse.configuration` has the product's own settings by area. Each is described where it is read, and `make docs-settings`
writes the table of ``evermuse/docs/configure.md`` from the descriptions.
"""

import secrets
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel

# Tasks are sent by the default application, which importing `evermuse.celery` sets.
from evermuse import celery as celery
from evermuse import contradictions, env, garbage_collection, logs, server_urls, session_limits
from evermuse.configuration import commands as commands
from evermuse.configuration.downloads import *  # noqa: F403
from evermuse.configuration.logins import *  # noqa: F403
from evermuse.configuration.object_store import *  # noqa: F403
from evermuse.configuration.operations import *  # noqa: F403
from evermuse.configuration.operations import EVERMUSE_PUBLIC_URL as EVERMUSE_PUBLIC_URL
from evermuse.configuration.retention import *  # noqa: F403
from evermuse.configuration.web import *  # noqa: F403
from evermuse.theme import UNFOLD as UNFOLD

# Every process reads the settings before it loads models, pages and tasks.
garbage_collection.collect_rarely()

BASE_DIR = Path(__file__).resolve().parent.parent
EVERMUSE_HOME = env.home()

# Commands that sign nothing for others (checks, migrations' dry run) need no secret, so they get a random one. Its
# prefix makes `check --deploy` report it, and serving processes refuse it (`evermuse.serving`).
SECRET_KEY = (
    env.text(
        "EVERMUSE_SECRET_KEY",
        "",
        help="Signs sessions, cursors and links. At least 32 random characters. Web, workers and beat do not start without it.",
        shown="made once by `make run`",
    )
    or f"django-insecure-{secrets.token_urlsafe(48)}"
)
# Always off: its pages show settings and stack traces, and API clients expect JSON.
DEBUG = False
ALLOWED_HOSTS = env.words(
    "EVERMUSE_ALLOWED_HOSTS",
    "127.0.0.1,localhost",
    check=server_urls.check_host_name,
    kind="host names",
    help="Host names that requests may use, separated by commas.",
)
CSRF_TRUSTED_ORIGINS = env.words(
    "EVERMUSE_CSRF_TRUSTED_ORIGINS",
    check=server_urls.check_origin,
    kind="origins",
    help="Origins that forms of the admin may come from, such as `https://ingest.example`, separated by commas.",
)

INSTALLED_APPS = [
    "ingest.activity.apps.ActivityConfig",  # before the theme, because its template is the admin's index
    "evermuse.theme_app.ThemeConfig",
    "evermuse.admin_app.AdminConfig",
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
            "libraries": {"amounts": "evermuse.amounts"},
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

_DATABASE: dict[str, Any] = env.database(
    help="PostgreSQL: `postgresql://user:password@host:port/name`. Every parameter of libpq is accepted, such as `?sslmode=verify-full&sslrootcert=…`, host lists and sockets. Unknown parameters are refused."
)
# Read by `manage.py migrate`.
DATABASE_DIRECT = env.optional_database(
    "DATABASE_DIRECT_URL",
    help="PostgreSQL itself, for `manage.py migrate`, if `DATABASE_URL` names a pooler such as PgBouncer.",
    shown="`DATABASE_URL`",
)
# A standby that answers reads (`evermuse.replica`).
_REPLICA = env.optional_database(
    "DATABASE_REPLICA_URL",
    help="A streaming standby that answers reads of records and lists of the admin, as `DATABASE_URL`. If it is away, lags behind or lacks what the primary would show, the primary answers.",
    shown="none",
)
EVERMUSE_REPLICA_MAX_LAG_SECONDS = env.integer(
    "EVERMUSE_REPLICA_MAX_LAG_SECONDS",
    60,
    minimum=1,
    help="A standby that is further behind is not used. Far below an hour, after which replaced segments are deleted.",
)


def _connection(url: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Django's settings for the database of a URL."""
    of_url = url.get("OPTIONS", {})
    return {
        "ENGINE": "evermuse.postgresql",
        **url,
        # Each thread keeps one connection, and Celery's children open their own. No pool, because Celery would close
        # it.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        # The URL's options come last, because PostgreSQL uses the last of two.
        "OPTIONS": {
            "connect_timeout": 3,
            # A server that disappears without closing its connections is noticed after 10 to 16 seconds: by data that is not
            # acknowledged, and by probes while a process only waits for an answer.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "application_name": "evermuse",
            **options,
            **of_url,
            "options": f"{session_limits.START_OPTIONS} {of_url.get('options', '')}".strip(),
        },
    }


DATABASES = {"default": _connection(_DATABASE)}
DATABASE_ROUTERS = ["evermuse.replica.Router"]
if _REPLICA is not None:
    # A page and its horizon come from one snapshot (`lake.standby`). Tests use the primary.
    DATABASES["replica"] = _connection(_REPLICA, isolation_level=IsolationLevel.REPEATABLE_READ) | {
        "TEST": {"MIRROR": "default"}
    }
EVERMUSE_PREPARED_STATEMENTS = env.choice(
    "EVERMUSE_PREPARED_STATEMENTS",
    "AUTO",
    ("AUTO", "ALWAYS", "NEVER"),
    help="Whether statements are prepared. `auto`: unless a pooler before PostgreSQL cannot keep them. `always`: for a pooler in session mode. `never`.",
    shown="`auto`",
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
# The admin's instants and dates, for people who compare them with logs.
FORMAT_MODULE_PATH = "evermuse.formats"

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# The documentation that `make docs` builds: docs/ and llms.txt. It is served without a login.
WHITENOISE_ROOT = BASE_DIR / "evermuse" / "docs" / "_site" / "web"
WHITENOISE_INDEX_FILE = True
WHITENOISE_MIMETYPES = {".md": "text/markdown"}
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "ingest.api.exception_handler.csrf_failed"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
# A proxy terminates HTTPS. EVERMUSE_HTTPS says that there is one.
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
    # Requested from inside, without the proxy.
    SECURE_REDIRECT_EXEMPT = [r"^healthz", r"^readyz", r"^metrics"]
    # We do not know whether other names of the domain use HTTPS.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["ingest.api.authentication.ApiKeyAuthentication"],
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
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "ingest.api.schema_hook.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

REDIS_URL = env.read(
    "REDIS_URL",
    "redis://127.0.0.1:6379/1",
    server_urls.redis,
    kind="redis:// URL",
    help="Redis or Valkey for the rate limits: `redis://` or `rediss://`. With `rediss://` certificates are checked; it takes `ssl_cert_reqs`, `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` and `ssl_check_hostname`. Other parameters are refused.",
    shown="embedded",
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


_BUILT_IN_PROCESSORS = ("attachments.processor.AttachmentDownloads",)
_ADDED_PROCESSORS = env.import_paths(
    "EVERMUSE_PROCESSORS",
    help="Processors besides the download of attachments: import paths of classes, separated by commas. See [Extend](extend.md#a-processor).",
)
# Earlier versions required naming the built-in processor. It still runs only once.
EVERMUSE_PROCESSORS = list(dict.fromkeys([*_BUILT_IN_PROCESSORS, *_ADDED_PROCESSORS]))
EVERMUSE_APPS = env.import_paths(
    "EVERMUSE_APPS",
    help="Django apps besides the product's own, such as those of processors with tables: import paths, separated by commas. `manage.py migrate` makes their tables.",
)
INSTALLED_APPS += EVERMUSE_APPS


LOGGING_CONFIG = None
logs.configure(
    level=env.choice(
        "EVERMUSE_LOG_LEVEL", "INFO", logs.LEVELS, help="`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`."
    ),
    as_json=env.flag("EVERMUSE_LOG_JSON", default=False, help="Whether log lines are JSON."),
)

_PORT = env.port("EVERMUSE_PORT", 8000, help="The web process's port on 127.0.0.1.")
# The base of the URLs of EVERMUSE_DOWNLOAD_URLS=web.
EVERMUSE_DOWNLOAD_BASE_URL = EVERMUSE_PUBLIC_URL or f"http://127.0.0.1:{_PORT}"

# After all settings are read, so that all faults are reported at once.
contradictions.look()
env.refuse_faults()
