"""Converters: files that hold conversations become records, one line of JSON each.

A converter drops nothing in silence. What it cannot convert goes to the rejects with file, offset and reason, and
``read == converted + rejected``.
"""

from evermuse.client.convert.csv_rows import Csv
from evermuse.client.convert.format import ConvertOptions, Format, UsageError
from evermuse.client.convert.intercom import Intercom
from evermuse.client.convert.mail.formats import MAIL_FORMATS
from evermuse.client.convert.rejects import RejectWriter
from evermuse.client.convert.slack import Slack
from evermuse.client.convert.transcripts import Transcripts
from evermuse.client.convert.zendesk import Zendesk

__all__ = ["FORMATS", "ConvertOptions", "Format", "RejectWriter", "UsageError"]

FORMATS: dict[str, Format] = {
    **MAIL_FORMATS,
    "slack": Slack(),
    "vtt": Transcripts(".vtt", "WebVTT transcripts"),
    "srt": Transcripts(".srt", "SubRip transcripts (SRT)"),
    "zendesk": Zendesk(),
    "intercom": Intercom(),
    "csv": Csv(),
}
