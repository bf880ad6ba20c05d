"""The example of a processor: languages and words of records, in a table of its own."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command

from attachments.processor import AttachmentDownloads
from deploy.examples.languages.models import RecordLanguage
from deploy.examples.languages.processor import Languages
from deploy.examples.languages.texts import language_of, text_of
from ingest.models import Batch, ProcessorRun
from ingest.pipeline import processing
from lake import processors
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

ENGLISH = "The weather is getting worse, so we should leave early tomorrow."
GERMAN = "Das Wetter wird schlechter, wir sollten morgen früher aufbrechen."


@pytest.fixture(autouse=True)
def languages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Languages]:
    """The example beside the built-in processor."""
    made = Languages()
    monkeypatch.setattr(processors, "installed", lambda: (AttachmentDownloads(), made))
    yield made


def rows(batch_id: str) -> list[tuple[int, str, int]]:
    found = RecordLanguage.objects.filter(batch_id=int(batch_id[6:])).order_by("record_index")
    return list(found.values_list("record_index", "language", "words"))


def test_example_processor_stores_language_and_words_of_each_accepted_record(api: ApiClient) -> None:
    batch_id = send_and_land(
        api,
        [
            record(data={"text": ENGLISH}),
            record(event_at="never"),
            record(data={"title": "Wetter", "parts": [{"said": GERMAN}, 7, None]}),
            record(data={"n": 5}),
        ],
    )
    assert rows(batch_id) == [(0, "en", 11), (2, "de", 10), (3, "", 0)]
    assert api.batch(batch_id)["status"] == "COMPLETE"


def test_example_processor_stores_rows_once_when_a_batch_runs_again(api: ApiClient, languages: Languages) -> None:
    batch_id = send_and_land(api, record(data={"text": ENGLISH}))
    languages.start([int(batch_id[6:])], lambda times=1: None)
    assert rows(batch_id) == [(0, "en", 11)]


def test_example_processor_waits_for_an_unavailable_store_and_resumes(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("deploy.examples.languages.processor.records_of", lambda batch_id: 1 / 0)
        batch_id = send_and_land(api, record(data={"text": ENGLISH}))
    assert (api.batch(batch_id)["status"], rows(batch_id)) == ("PROCESSING", [])
    ProcessorRun.objects.update(next_attempt_at=None)
    processing.advance([Batch.objects.get().pk])
    assert (api.batch(batch_id)["status"], rows(batch_id)) == ("COMPLETE", [(0, "en", 11)])


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"\\ud800 x \\u0000"}',
        b'{"n":1e999,"m":%b}' % (b"9" * 5000),
        b'{"a":%b}' % (b"[" * 50_000 + b"]" * 50_000),
    ],
)
def test_example_processor_handles_any_data(data: bytes) -> None:
    text = text_of(data)
    assert isinstance(language_of(text), str)


def test_example_processor_has_no_missing_migration(db: None) -> None:
    call_command("makemigrations", "languages", check=True, dry_run=True, verbosity=0)
