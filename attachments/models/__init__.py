"""Tables of files: their states and attempts, the queue, and what is stored."""

from attachments.models.contents import RemovedObject, StoredFile, UploadIntent
from attachments.models.files import Attachment, AttachmentTally, DownloadAttempt
from attachments.models.lanes import AllowedEndpoint, Lane, LaneNotice, VendorHost, WorkspaceTurn

__all__ = [
    "AllowedEndpoint",
    "Attachment",
    "AttachmentTally",
    "DownloadAttempt",
    "Lane",
    "LaneNotice",
    "RemovedObject",
    "StoredFile",
    "UploadIntent",
    "VendorHost",
    "WorkspaceTurn",
]
