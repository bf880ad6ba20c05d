"""Converters: files that hold conversations become records, one line of JSON each.

A converter drops nothing in silence. What it cannot convert goes to the rejects with file, offset and reason, and
``read == converted + rejected``.
"""

from evermuse.client.convert.format import ConvertOptions, Format, LazyFormat, UsageError
from evermuse.client.convert.rejects import RejectWriter

__all__ = ["FORMATS", "ConvertOptions", "Format", "RejectWriter", "UsageError"]

_MAIL = "evermuse.client.convert.mail.formats"
_TRANSCRIPTS = "evermuse.client.convert.transcripts"
# Every command imports this package, but only a conversion needs a converter and its parsers.
FORMATS: dict[str, LazyFormat] = {
    "mbox": LazyFormat(
        "Mailboxes with many mails in one file (mboxo, mboxrd, mboxcl; Gmail, Thunderbird)", _MAIL, "MBOX"
    ),
    "maildir": LazyFormat("Directories with one file for each mail, with their subfolders", _MAIL, "MAILDIR"),
    "eml": LazyFormat("Files of one mail each (.eml, .emlx), or directories of them", _MAIL, "EML"),
    "slack": LazyFormat(
        "Slack exports: channels, groups and direct messages (a directory or a zip file)",
        "evermuse.client.convert.slack",
        "SLACK",
    ),
    "vtt": LazyFormat("WebVTT transcripts", _TRANSCRIPTS, "VTT"),
    "srt": LazyFormat("SubRip transcripts (SRT)", _TRANSCRIPTS, "SRT"),
    "zendesk": LazyFormat(
        "Zendesk tickets with comments, as its API gives them (JSON or NDJSON)",
        "evermuse.client.convert.zendesk",
        "ZENDESK",
    ),
    "intercom": LazyFormat(
        "Intercom conversations, as its API gives them (JSON or NDJSON)", "evermuse.client.convert.intercom", "INTERCOM"
    ),
    "csv": LazyFormat(
        "CSV files, with a mapping of columns to fields (--mapping)", "evermuse.client.convert.csv_rows", "CSV"
    ),
}
