"""Attachments: files that records name, fetched from vendors' URLs into the object store."""

from django.apps import AppConfig


class AttachmentsConfig(AppConfig):
    name = "attachments"
    verbose_name = "Attachments"
