"""The class of the Celery application, whose worker and beat log what Celery's own would print."""

from typing import Any

from celery import Celery
from kombu.utils.objects import cached_property


class Application(Celery):
    """Names its classes by their paths, because only ``celery worker`` and ``celery beat`` need their modules."""

    @cached_property
    def Worker(self) -> Any:
        """The class of ``celery worker``."""
        return self.subclass_with_self("evermuse.celery_output:Worker")  # type: ignore[arg-type]

    @cached_property
    def Beat(self) -> Any:
        """The class of ``celery beat``."""
        return self.subclass_with_self("evermuse.celery_output:Beat")  # type: ignore[arg-type]
