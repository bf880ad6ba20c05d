"""Tables of the lake, one module for each concept."""

from lake.models.horizon import ChangeClock, OpenLanding
from lake.models.journal import Journal, JournalEntry, JournalFill
from lake.models.outcomes import BatchOutcomes, RejectedRecord
from lake.models.payloads import Payload, PayloadKept, PayloadPart
from lake.models.records import IndexTransition, Record, RecordVersion, RemovedRecord
from lake.models.restore import DatabaseTimeline, RestoreMark
from lake.models.segments import ArchivedObject, Segment, SegmentBatch
from lake.models.term_sets import TermSet, TermSetStart

__all__ = [
    "ArchivedObject",
    "BatchOutcomes",
    "ChangeClock",
    "DatabaseTimeline",
    "IndexTransition",
    "Journal",
    "JournalEntry",
    "JournalFill",
    "OpenLanding",
    "Payload",
    "PayloadKept",
    "PayloadPart",
    "Record",
    "RecordVersion",
    "RejectedRecord",
    "RemovedRecord",
    "RestoreMark",
    "Segment",
    "SegmentBatch",
    "TermSet",
    "TermSetStart",
]
