"""The object store: where it is, and the keys for it."""

from evermuse import env, server_urls

MINIO_ENDPOINT = env.read(
    "MINIO_ENDPOINT",
    "127.0.0.1:9000",
    server_urls.endpoint,
    kind="host:port",
    help="Host and port of the object store.",
    shown="embedded",
)
MINIO_CREDENTIALS = env.choice(
    "MINIO_CREDENTIALS",
    "KEYS",
    ("KEYS", "ENVIRONMENT", "FILE", "ROLE", "CHAIN"),
    help="Where the keys come from. `keys`: `MINIO_ACCESS_KEY` and `MINIO_SECRET_KEY`. `environment`: AWS's variables. `file`: AWS's file of credentials. `role`: the role of the instance, container or service account. `chain`: the first of the last three that has any.",
    shown="`keys`",
)
MINIO_ACCESS_KEY = env.text(
    "MINIO_ACCESS_KEY", "", help="The access key that reads and writes objects.", shown="embedded"
)
MINIO_SECRET_KEY = env.text("MINIO_SECRET_KEY", "", help="The secret of `MINIO_ACCESS_KEY`.", shown="embedded")
MINIO_SESSION_TOKEN = env.text(
    "MINIO_SESSION_TOKEN", "", help="The session token of `MINIO_ACCESS_KEY`, if it is a temporary key."
)
MINIO_ROLE_ENDPOINT = env.http_url(
    "MINIO_ROLE_ENDPOINT",
    help="The address of the service that issues a role's keys.",
    shown="AWS's",
)
MINIO_REGION = env.read(
    "MINIO_REGION",
    "",
    server_urls.region,
    kind="name of a region",
    help="The region that requests are signed for.",
    shown="that of an AWS endpoint, else `us-east-1`",
)
MINIO_ADDRESSING = env.choice(
    "MINIO_ADDRESSING",
    "AUTO",
    ("AUTO", "PATH", "VIRTUAL"),
    help="How URLs name the bucket. `path`: `https://host/bucket/key`. `virtual`: `https://bucket.host/key`. `auto`: `virtual` at AWS and Alibaba Cloud, else `path`.",
    shown="`auto`",
)
MINIO_SECURE = env.flag("MINIO_SECURE", default=False, help="Whether the object store is reached by https.")
# The keys that sign upload intents may only PUT under uploads/. If there are none, the keys above sign.
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
MINIO_PUBLIC_ENDPOINT = env.read(
    "MINIO_PUBLIC_ENDPOINT",
    MINIO_ENDPOINT,
    server_urls.endpoint,
    kind="host:port",
    help="The object store's address in the URLs that clients and browsers get.",
    shown="`MINIO_ENDPOINT`",
)
MINIO_PUBLIC_SECURE = env.flag(
    "MINIO_PUBLIC_SECURE", default=MINIO_SECURE, help="Whether those URLs begin with https.", shown="`MINIO_SECURE`"
)
EVERMUSE_SEGMENT_CACHE_BYTES = env.integer(
    "EVERMUSE_SEGMENT_CACHE_BYTES",
    32 * 1024**2,
    minimum=0,
    help="Bytes of recently read segments that a process keeps in memory.",
)
