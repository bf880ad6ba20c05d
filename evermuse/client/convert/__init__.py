"""Converters: files that hold conversations become records, one line of JSON each.

A converter drops nothing in silence. What it cannot convert goes to the rejects with file, offset and reason, and
``read == converted + rejected``.
"""

from evermuse.client.convert.format import ConvertOptions, Format, UsageError
from evermuse.client.convert.mail.formats import MAIL_FORMATS
from evermuse.client.convert.rejects import RejectWriter

__all__ = ["FORMATS", "ConvertOptions", "Format", "RejectWriter", "UsageError"]

FORMATS: dict[str, Format] = {**MAIL_FORMATS}
