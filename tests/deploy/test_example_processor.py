"""The example processor stores the language and the number of words of each record in its own table."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

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

ROOT = Path(__file__).resolve().parent.parent.parent
ENGLISH = "The weather is getting worse, so we should leave early tomorrow."
GERMAN = "Das Wetter wird schlechter, wir sollten morgen früher aufbrechen."


@pytest.fixture(autouse=True)
def languages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Languages]:
    """The example processor beside the built-in one."""
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


def test_example_processor_finishes_a_batch_without_any_kept_record(
    api: ApiClient, languages: Languages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction may have removed all of a batch's records before a processor that was added later sees the batch."""
    monkeypatch.setattr("deploy.examples.languages.processor.records_of", lambda batch_id: iter(()))
    batch_id = send_and_land(api, record(data={"text": ENGLISH}))
    assert (api.batch(batch_id)["status"], rows(batch_id)) == ("COMPLETE", [])
    assert languages.settled([int(batch_id[6:]), 10**9]) == {int(batch_id[6:])}


def test_example_processor_does_not_settle_a_batch_whose_rows_were_not_stored(
    languages: Languages, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    def half(batch_id: int) -> Iterator[None]:
        yield from ()
        raise ConnectionError

    monkeypatch.setattr("deploy.examples.languages.processor.records_of", half)
    with pytest.raises(ConnectionError):
        languages.start([1], lambda times=1: None)
    assert languages.settled([1]) == set()


@pytest.mark.django_db(transaction=True)
def test_migration_of_the_example_processor_keeps_finished_batches_finished() -> None:
    call_command("migrate", "languages", "0001", verbosity=0)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO languages_recordlanguage (batch_id, record_index, record_id, language, words)"
                " SELECT 7, n, gen_random_uuid(), 'en', 1 FROM generate_series(0, 1) AS n"
            )
    finally:
        call_command("migrate", "languages", verbosity=0)
    assert Languages().settled([6, 7]) == {7}


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


def check_with(**settings: str) -> subprocess.CompletedProcess[str]:
    """Runs ``manage.py check`` in a deployment with these settings."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "check"],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_check_names_the_setting_for_the_missing_app_of_a_processor() -> None:
    done = check_with(EVERMUSE_APPS="", EVERMUSE_PROCESSORS="deploy.examples.languages.processor.Languages")
    assert done.returncode == 1
    assert "evermuse.E002" in done.stderr
    assert "isn't in an application in INSTALLED_APPS" in done.stderr
    assert "The app of a processor with tables must be in EVERMUSE_APPS." in done.stderr


def test_misspelt_app_is_reported_with_its_setting_and_without_a_traceback() -> None:
    done = check_with(EVERMUSE_APPS="deploy.examples.langages")
    expected = (
        "evermuse: EVERMUSE_APPS (24 characters: letters and others) has 'deploy.examples.langages', which cannot be found: "
        "write import paths, separated by commas"
    )
    assert (done.returncode, done.stderr.strip()) == (1, expected)
