"""The object store: where it is, and the keys for it."""

from evermuse import env, server_urls

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
