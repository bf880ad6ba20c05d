"""The web process (`evermuse.web`): limits, budgets and time-outs. Unless a setting says otherwise, they apply to one process."""

from evermuse import env

EVERMUSE_RATE_LIMIT = env.integer(
    "EVERMUSE_RATE_LIMIT", 10, minimum=1, help="Requests in any second for a key that has no limit of its own."
)
EVERMUSE_BODY_TIMEOUT_SECONDS = env.integer(
    "EVERMUSE_BODY_TIMEOUT_SECONDS", 30, minimum=1, help="The longest time for receiving a request's body."
)
EVERMUSE_WEB_THREADS = env.integer(
    "EVERMUSE_WEB_THREADS",
    4,
    minimum=1,
    maximum=1024,
    help="Threads of a web process for `POST` and `PATCH`. Each keeps a database connection.",
)
EVERMUSE_WEB_READ_THREADS = env.integer(
    "EVERMUSE_WEB_READ_THREADS",
    4,
    minimum=1,
    maximum=1024,
    help="Threads of a web process for `GET`. Each keeps a database connection.",
)
EVERMUSE_WEB_PAGE_THREADS = env.integer(
    "EVERMUSE_WEB_PAGE_THREADS",
    2,
    minimum=1,
    maximum=1024,
    help="Threads of a web process for the admin and other pages. Each keeps a database connection.",
)
EVERMUSE_BODY_BUDGET_BYTES = env.integer(
    "EVERMUSE_BODY_BUDGET_BYTES",
    64 * 1024**2,
    minimum=6 * 1024**2,
    help="The most bytes of all unfinished bodies in a web process together. Above that, a request gets 503 with `retryAfter`.",
)
EVERMUSE_ANSWER_BUDGET_BYTES = env.integer(
    "EVERMUSE_ANSWER_BUDGET_BYTES",
    32 * 1024**2,
    minimum=8 * 1024**2,
    help="The most bytes of all large answers in a web process together. Above that, readers wait.",
)
EVERMUSE_CONNECTIONS_PER_ADDRESS = env.integer(
    "EVERMUSE_CONNECTIONS_PER_ADDRESS",
    512,
    minimum=1,
    help="Connections of one client address (of a /64 with IPv6) to a web process.",
)
EVERMUSE_TRUSTED_PROXIES = env.networks(
    "EVERMUSE_TRUSTED_PROXIES",
    help="Networks in CIDR form of the proxies in front. They are not limited themselves. The client is the last address in their `X-Forwarded-For` that is not a proxy.",
)
# Longer than proxies keep an idle connection (nginx and load balancers: 60 s), so that the proxy closes it first.
EVERMUSE_DRAIN_SECONDS = env.integer(
    "EVERMUSE_DRAIN_SECONDS",
    0,
    maximum=20,
    help="How long a web process keeps serving after SIGTERM while `/readyz` answers 503. Longer than two health checks of the proxy; 20 at most.",
)
# Longer than PostgreSQL's own limit of a statement (`evermuse.session_limits`), so that a server that runs answers first.
EVERMUSE_DATABASE_ANSWER_SECONDS = env.integer(
    "EVERMUSE_DATABASE_ANSWER_SECONDS",
    35,
    minimum=1,
    help="The longest time for which a request waits for an answer of PostgreSQL, such as one that is frozen. Then the request gets 503 with `retryAfter`, and the connection is closed. Longer than `statement_timeout`.",
)
EVERMUSE_KEEP_ALIVE_SECONDS = env.integer(
    "EVERMUSE_KEEP_ALIVE_SECONDS", 75, minimum=1, help="The time for which an idle connection is kept."
)
EVERMUSE_HEAD_TIMEOUT_SECONDS = env.integer(
    "EVERMUSE_HEAD_TIMEOUT_SECONDS", 15, minimum=1, help="The longest time for receiving a request's head."
)
# The contract lets a reader pause for 5 minutes.
EVERMUSE_READER_PAUSE_SECONDS = env.integer(
    "EVERMUSE_READER_PAUSE_SECONDS", 330, minimum=1, help="The longest pause of a client that reads an answer."
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
