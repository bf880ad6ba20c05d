"""Settings that are valid alone but contradict each other. One of them would have no effect, or another one than its name
says."""

from collections.abc import Iterator

from evermuse import celery, env, setting_table

FOR_RABBITMQ = (
    ("EVERMUSE_QUORUM_QUEUES", celery.QUORUM_QUEUES),
    ("EVERMUSE_PUBLISHER_CONFIRMS", celery.PUBLISHER_CONFIRMS),
)
PAIRS = (("MINIO_UPLOAD_ACCESS_KEY", "MINIO_UPLOAD_SECRET_KEY"), ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"))
BESIDE_THE_PRIMARY = ("DATABASE_REPLICA_URL", "DATABASE_DIRECT_URL")


def look() -> None:
    """Note each contradiction as a fault, unless one of its settings has a fault already."""
    for name, line in (*_rabbitmq(), *_pairs(), *_primary()):
        setting_table.refuse(name, line)


def _rabbitmq() -> Iterator[tuple[str, str]]:
    if "CELERY_BROKER_URL" in setting_table.faults() or "amqp" in celery.BROKER_URL.partition("://")[0]:
        return
    for name, is_on in FOR_RABBITMQ:
        if is_on:
            yield (
                name,
                f"{name} (true) has no effect: CELERY_BROKER_URL names Redis. Remove {name}, or name a RabbitMQ",
            )


def _pairs() -> Iterator[tuple[str, str]]:
    for first, second in PAIRS:
        if env.is_set(first) != env.is_set(second):
            given, missing = (first, second) if env.is_set(first) else (second, first)
            yield missing, f"{missing} is not set (nor {missing}_FILE), but {given} is: set both or neither"


def _primary() -> Iterator[tuple[str, str]]:
    for name in BESIDE_THE_PRIMARY:
        if env.is_set(name) and not env.is_set("DATABASE_URL"):
            yield (
                name,
                f"{name} is set, but DATABASE_URL is not (nor DATABASE_URL_FILE): set DATABASE_URL to the primary",
            )
