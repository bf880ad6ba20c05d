"""What is in the object store: uploads, stored files, and objects to be removed."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from attachments.models.files import Attachment


class UploadIntent(models.Model):
    """A file that a client sends straight to the object store. One attachment of one record may name it.

    ``token`` is the id that clients see. A conditional UPDATE claims the intent. The sweeper removes unclaimed ones
    after ``expires_at``.
    """

    workspace = models.ForeignKey("ingest.Workspace", models.PROTECT, related_name="+", db_index=False)
    api_key = models.ForeignKey("ingest.ApiKey", models.SET_NULL, null=True, related_name="+", db_index=False)
    key_ends_at = models.DateTimeField(
        null=True, help_text="When its API key expires or was revoked. After that it cannot be claimed."
    )
    token = models.CharField(max_length=64, unique=True)
    filename = models.TextField(default="", blank=True)
    mime_type = models.TextField(default="", blank=True)
    size = models.BigIntegerField(null=True)
    measured_size = models.BigIntegerField(null=True, help_text="Measured bytes, if no size was declared.")
    sha1 = models.TextField(default="", blank=True)
    md5 = models.TextField(default="", blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    attachment = models.ForeignKey(Attachment, models.SET_NULL, null=True, related_name="+")
    origin = models.BinaryField(max_length=16, null=True, help_text="Origin of the attachment that claimed it.")
    is_cleared = models.BooleanField(default=False, help_text="The file has been removed from the upload area.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["expires_at"], name="intent_to_clear", condition=Q(is_cleared=False)),
            models.Index(fields=["workspace", "id"], name="intent_in_quota", condition=Q(is_cleared=False)),
        ]

    def __str__(self) -> str:
        return self.token


class StoredFile(models.Model):
    """The content of a file in the object store, stored once for each workspace and SHA-256."""

    workspace = models.ForeignKey("ingest.Workspace", models.PROTECT, related_name="+", db_index=False)
    sha256 = models.BinaryField(max_length=32)
    storage_uri = models.TextField(unique=True)
    size = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "sha256"], name="content_once")]


class RemovedObject(models.Model):
    """An object that no row points to any more. The sweeper deletes it (`attachments.removal`)."""

    storage_uri = models.TextField(primary_key=True)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return self.storage_uri
