"""For operators: metrics, alerts, mail, and links to the admin and to Flower."""

from evermuse import env, mail_settings, server_urls

_FLOWER_PORT = env.port("EVERMUSE_FLOWER_PORT", 5555, help="Flower's port on 127.0.0.1.")
EVERMUSE_FLOWER_URL = env.read(
    "EVERMUSE_FLOWER_URL",
    f"http://127.0.0.1:{_FLOWER_PORT}",
    server_urls.link,
    kind="http:// or https:// address, or path",
    help="The address of Flower in the admin's links.",
    shown="Flower's port on 127.0.0.1",
)
EVERMUSE_METRICS_NETWORKS = env.networks(
    "EVERMUSE_METRICS_NETWORKS",
    help="Networks in CIDR form that may read `/metrics` besides this host. For a request through a proxy, the client address that the proxy names counts.",
)
EVERMUSE_METRICS_TOKEN = env.text(
    "EVERMUSE_METRICS_TOKEN",
    "",
    help="A request with this token (`Authorization: Bearer …`) may read `/metrics`. Where it is set, requests from this host need it too.",
)
EVERMUSE_ALERT_WEBHOOK_URL = env.http_url("EVERMUSE_ALERT_WEBHOOK_URL", help="Where alerts are sent as a JSON `POST`.")
EVERMUSE_ALERT_WEBHOOK_SECRET = env.text(
    "EVERMUSE_ALERT_WEBHOOK_SECRET",
    "",
    help="The secret that signs alerts: `X-Evermuse-Signature: sha256=` and the HMAC of the body.",
)
EVERMUSE_ALERT_EMAILS = env.words(
    "EVERMUSE_ALERT_EMAILS",
    check=mail_settings.check_mail_address,
    kind="e-mail addresses",
    help="Addresses that alerts are sent to, separated by commas.",
)
EVERMUSE_ALERT_BACKLOG_SECONDS = env.integer(
    "EVERMUSE_ALERT_BACKLOG_SECONDS",
    300,
    help="An alert is raised when the oldest waiting batch or due file is older than this many seconds. 0 turns it off.",
)
EVERMUSE_PROBLEM_STUCK_SECONDS = env.integer(
    "EVERMUSE_PROBLEM_STUCK_SECONDS",
    120,
    minimum=1,
    help="A batch or file counts as stuck this many seconds after a fault.",
)
EVERMUSE_PUBLIC_URL = env.http_url(
    "EVERMUSE_PUBLIC_URL",
    help="The public address of the web process, for links in alerts and for `EVERMUSE_DOWNLOAD_URLS=web`.",
).rstrip("/")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.read(
    "EVERMUSE_EMAIL_FROM", mail_settings.SENDER, mail_settings.sender, kind="e-mail address", help="The sender of mail."
)
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS, EMAIL_USE_SSL = env.mail_server(
    help="The mail server: `smtp://`, `smtp+starttls://` or `smtps://` with `user:password@host:port`."
)
EMAIL_TIMEOUT = 5
