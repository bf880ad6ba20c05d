"""Lake: the record's schema, its identity, the archive and the index."""

from django.apps import AppConfig
from django.core import checks

from evermuse import binary_arrays, timelines
from lake import processors
from lake.restore import new_timeline


class LakeConfig(AppConfig):
    name = "lake"
    verbose_name = "Data lake"

    def ready(self) -> None:
        binary_arrays.register()
        checks.register(processors.check)
        timelines.reactions.append(new_timeline.note)
