"""Settings that the embedded stack, the commands and Flower read themselves. They are only described here."""

from evermuse import env

env.describe("EVERMUSE_HOME", "./var", "The directory of all state of `make run`.")
env.describe("EVERMUSE_WEB_WORKERS", "", "Web processes.", shown="by cores")
env.describe("EVERMUSE_LANDING_CONCURRENCY", "", "Landing processes of a worker.", shown="by cores")
env.describe("EVERMUSE_ADMIN_USERNAME", "admin", "The admin's login, made by `manage.py bootstrap`.")
env.describe(
    "EVERMUSE_ADMIN_PASSWORD",
    "",
    "The password of `EVERMUSE_ADMIN_USERNAME`, at least 12 characters.",
    shown="made once by `make run`",
)
env.describe(
    "MINIO_ROOT_USER",
    "",
    "The object store's root user. Only `manage.py bootstrap` uses it, to create the other users.",
)
env.describe("MINIO_ROOT_PASSWORD", "", "The password of `MINIO_ROOT_USER`.")
env.describe("EVERMUSE_FLOWER_USERNAME", "flower", "Flower's own login. Flower does not start without one.")
env.describe(
    "EVERMUSE_FLOWER_PASSWORD", "", "The password of `EVERMUSE_FLOWER_USERNAME`.", shown="made once by `make run`"
)
# Read by `deploy/compose.yaml` alone.
env.describe("EVERMUSE_DOMAIN", "localhost", "Compose: the host name for which its proxy has a certificate.")
env.describe("EVERMUSE_FILES_DOMAIN", "files.localhost", "Compose: the host name of upload URLs behind its proxy.")
env.describe("EVERMUSE_WEB_REPLICAS", "1", "Compose: containers of the web process.")
env.describe("EVERMUSE_LANDING_REPLICAS", "1", "Compose: containers of the landing worker.")
env.describe("EVERMUSE_ATTACHMENT_REPLICAS", "1", "Compose: containers of the attachment worker.")
