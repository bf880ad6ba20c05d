"""Settings that one command, Flower, the embedded stack or Compose reads itself. They are declared here, so that every process checks them."""

from evermuse import env, server_urls

BOOTSTRAP, FLOWER, MAKE_RUN, COMPOSE = "bootstrap", "Flower", "make run", "Compose"

env.text("EVERMUSE_HOME", "./var", help="The directory of all state of `make run`.", read_by=MAKE_RUN)
env.integer(
    "EVERMUSE_WEB_WORKERS", 0, minimum=1, maximum=1024, help="Web processes.", shown="by cores", read_by=MAKE_RUN
)
env.integer(
    "EVERMUSE_LANDING_CONCURRENCY",
    0,
    minimum=1,
    maximum=1024,
    help="Landing processes of a worker.",
    shown="by cores",
    read_by=MAKE_RUN,
)
env.text(
    "EVERMUSE_ADMIN_USERNAME", "admin", help="The admin's login, made by `manage.py bootstrap`.", read_by=BOOTSTRAP
)
env.text(
    "EVERMUSE_ADMIN_PASSWORD",
    "",
    help="The password of `EVERMUSE_ADMIN_USERNAME`, at least 12 characters.",
    shown="made once by `make run`",
    read_by=BOOTSTRAP,
)
env.text(
    "MINIO_ROOT_USER",
    "",
    help="The object store's root user. Only `manage.py bootstrap` uses it, to create the other users.",
    read_by=BOOTSTRAP,
)
env.text("MINIO_ROOT_PASSWORD", "", help="The password of `MINIO_ROOT_USER`.", read_by=BOOTSTRAP)
env.text(
    "EVERMUSE_FLOWER_USERNAME",
    "flower",
    help="Flower's own login. Flower does not start without one.",
    read_by=FLOWER,
)
env.text(
    "EVERMUSE_FLOWER_PASSWORD",
    "",
    help="The password of `EVERMUSE_FLOWER_USERNAME`, at least 12 characters.",
    shown="made once by `make run`",
    read_by=FLOWER,
)
env.read(
    "EVERMUSE_DOMAIN",
    "localhost",
    server_urls.host_name,
    kind="host name",
    help="The host name for which the proxy has a certificate.",
    read_by=COMPOSE,
)
env.read(
    "EVERMUSE_FILES_DOMAIN",
    "files.localhost",
    server_urls.host_name,
    kind="host name",
    help="The host name of upload URLs behind the proxy.",
    read_by=COMPOSE,
)
for _name, _process in (
    ("EVERMUSE_WEB_REPLICAS", "web process"),
    ("EVERMUSE_LANDING_REPLICAS", "landing worker"),
    ("EVERMUSE_ATTACHMENT_REPLICAS", "attachment worker"),
):
    env.integer(_name, 1, help=f"Containers of the {_process}.", read_by=COMPOSE)
