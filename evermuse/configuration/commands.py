"""Settings that the embedded stack, the commands and Flower read themselves. They are only described here."""

from evermuse import env

env.elsewhere("EVERMUSE_HOME", "./var", "The directory of all state of `make run`.")
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
