"""Converters: turn files with conversations into records, one line of JSON each.

A converter never drops an item silently. Items that cannot be converted are written to the rejects with file, offset and
reason, and ``read == converted + rejected``.
"""

from evermuse.client.convert.format import ConvertOptions, Format, LazyFormat, PoolError, UsageError
from evermuse.client.convert.rejects import RejectWriter

__all__ = ["FORMATS", "ConvertOptions", "Format", "PoolError", "RejectWriter", "UsageError"]

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
        "Zendesk tickets with comments, as returned by its API (JSON or NDJSON)",
        "evermuse.client.convert.zendesk",
        "ZENDESK",
    ),
    "intercom": LazyFormat(
        "Intercom conversations, as returned by its API (JSON or NDJSON)",
        "evermuse.client.convert.intercom",
        "INTERCOM",
    ),
    "csv": LazyFormat(
        "CSV files, with a mapping of columns to fields (--mapping)", "evermuse.client.convert.csv_rows", "CSV"
    ),
}
