"""WebVTT and SRT as recorders and editors write them."""

import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evermuse.client.convert import UsageError, cues
from tests.evermuse.client.convert.running import run


def shown(text: str) -> list[tuple[float, float, str, str]]:
    return [(cue.start, cue.end, cue.speaker, cue.text) for cue in cues.parsed(text).cues]


def test_webvtt_with_notes_styles_voices_and_settings_is_read() -> None:
    text = (
        "WEBVTT - Title\nKind: captions\n\nNOTE\nby hand\n\nSTYLE\n::cue {}\n\nREGION\nid:fred\n\nintro\n"
        "00:01.000 --> 01:00:02.500 align:start\n<v.loud Ann B>Hello &amp; <b>welcome</b></v> <v Bob>hi\nthere\n\n"
        "00:00:02.000 --> 00:00:03.000\n<00:00:02.500><c>timed</c> words\n"
    )
    assert shown(text) == [
        (1.0, 3602.5, "Ann B", "Hello & welcome"),
        (1.0, 3602.5, "Bob", "hi\nthere"),
        (2.0, 3.0, "", "timed words"),
    ]
    parsed = cues.parsed(text)
    assert (parsed.format, parsed.notes, parsed.defects, parsed.cues[0].id) == ("vtt", ["by hand"], [], "intro")


def test_srt_with_blank_lines_missing_numbers_and_points_is_read() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nfirst\n\nstill first\n2\n00:00:02.5 --> 00:00:03\nsecond\n00:04,1 --> 00:05,1\nthird"
    assert shown(text) == [(1.0, 2.0, "", "first\n\nstill first"), (2.5, 3.0, "", "second"), (4.1, 5.1, "", "third")]


@pytest.mark.parametrize(
    ("text", "speaker", "words"),
    [
        ("John Doe: hello", "John Doe", "hello"),
        (">> ANN: hello", "ANN", "hello"),
        ("[Ann Lee]: hello", "Ann Lee", "hello"),
        ("- Dr. Ann O'Neil-Roe: hello", "Dr. Ann O'Neil-Roe", "hello"),
        ("Note: hello", "", "Note: hello"),
        ("see https://x.example", "", "see https://x.example"),
        ("and then: hello", "", "and then: hello"),
        ("at 10:30: hello", "", "at 10:30: hello"),
        ("(Ann Lee)\nhello", "Ann Lee", "hello"),
        ("(Laughter)\nhello", "", "(Laughter)\nhello"),
        ("(soft music)\nhello", "", "(soft music)\nhello"),
    ],
)
def test_names_before_a_colon_are_speakers(text: str, speaker: str, words: str) -> None:
    assert shown(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n") == [(1.0, 2.0, speaker, words)]


def test_name_that_occurs_once_is_a_speaker_where_most_cues_name_one() -> None:
    words = ["Ann Lee: hello", "Bob: hi", "Ann Lee: Note: this", "Note: that"]
    text = "".join(
        f"{n}\n00:0{n}:00,000 --> 00:0{n}:01,000\n{one}\n\n" for n, one in enumerate([*words, "Cy Doe: bye"])
    )
    assert [cue[2:] for cue in shown(text)] == [
        ("Ann Lee", "hello"), ("Bob", "hi"), ("Ann Lee", "Note: this"), ("", "Note: that"), ("Cy Doe", "bye"),
    ]  # fmt: skip
    assert [cue[2] for cue in shown(text.replace("Ann Lee:", "and").replace("Cy Doe:", "so"))] == [""] * 5


def test_full_width_colon_ends_a_name_too() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n田中：はい\n\n00:03.000 --> 00:04.000\n田中：いいえ\n"
    assert [cue[2:] for cue in shown(text)] == [("田中", "はい"), ("田中", "いいえ")]


@pytest.mark.parametrize("times", ["00:00:01 , 500 --> 00:00:02 , 000", "00: 00: 01,500 -> 00: 00: 02,000"])
def test_spaces_beside_colons_and_commas_are_read(times: str) -> None:
    assert shown(f"1\n{times}\nhello\n") == [(1.5, 2.0, "", "hello")]


def test_broken_cue_is_listed_and_the_others_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "call.vtt"
    file.write_text(
        "WEBVTT\n\n00:01.000 --> 00:02.000\none\n\n00:xx --> 00:03\nlost\n\n00:05.000 --> 00:04.000\nback\n"
    )
    done = run("vtt", file, folder=tmp_path, event_at="2024-01-31T12:00:00+01:00")
    data = done.records[0]["data"]
    assert [cue["text"] for cue in data["cues"]] == ["one", "back"]
    assert any("line 6" in defect for defect in data["defects"]) and "lost" in data["source"]
    assert done.records[0]["_event_at"] == "2024-01-31T11:00:00Z"
    assert sum(done.writer.notes.values()) == len(data["defects"]) == 3


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("GMT20240131-101112_Recording.transcript.vtt", "2024-01-31T10:11:12Z"),
        ("Standup 2024-01-31 at 10.11.vtt", "2024-01-31T00:00:00Z"),
        ("2024-01-31T10-11-12Z.vtt", "2024-01-31T10:11:12Z"),
        ("meeting_20240131_1011.vtt", "2024-01-31T10:11:00Z"),
        ("Call.2024.01.31.vtt", "2024-01-31T00:00:00Z"),
        ("id-1234567890123.vtt", "2001-09-09T01:46:40Z"),
        ("2024-02-31.vtt", "2001-09-09T01:46:40Z"),
    ],
)
def test_time_of_a_transcript_is_in_its_name_or_else_that_of_its_last_change(
    tmp_path: Path, name: str, at: str
) -> None:
    file = tmp_path / name
    file.write_bytes("\ufeffWEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nGrüße\r\n".encode())
    os.utime(file, (1_000_000_000, 1_000_000_000))
    record = run("vtt", tmp_path, folder=tmp_path).records[0]
    assert (record["_event_at"], record["_vendor_ids"]) == (at, {"transcript_file": name})
    assert record["data"]["cues"][0]["text"] == "Grüße"


def test_file_without_cues_is_rejected_and_a_wrong_time_refused(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("just text\n")
    assert "no cue" in run("srt", tmp_path / "a.srt", folder=tmp_path).reasons[0]
    with pytest.raises(UsageError, match="--event-at"):
        run("srt", tmp_path / "a.srt", folder=tmp_path, event_at="yesterday")


def test_transcript_too_large_with_its_cues_is_a_record_with_the_whole_source(tmp_path: Path) -> None:
    cue = "00:01.000 --> 00:02.000\n<v Ann Lee>" + "word " * 200 + "\n\n"
    source = "WEBVTT\n\n" + cue * (4_600_000 // len(cue))
    file = tmp_path / "long.vtt"
    file.write_text(source)
    done = run("vtt", file, folder=tmp_path, event_at="2024-01-31T12:00:00Z")
    data = done.records[0]["data"]
    assert data["source"] == source and "cues" not in data
    assert (data["cues_omitted"], data["speakers"]) == (source.count("-->"), ["Ann Lee"])
    assert any("no cues" in text for text in done.writer.notes)
    file.write_text(source + cue * (2_000_000 // len(cue)))
    (reason,) = run("vtt", file, folder=tmp_path, event_at="2024-01-31T12:00:00Z").reasons
    assert "a batch holds at most" in reason


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-16"])
def test_transcript_in_utf_16_is_read_with_and_without_a_byte_order_mark(tmp_path: Path, codec: str) -> None:
    file = tmp_path / "call.srt"
    # The first character of this word has a zero byte on the other side.
    file.write_bytes("1\r\n00:00:01,000 --> 00:00:02,000\r\n一緒に\r\n".encode(codec))
    done = run("srt", file, folder=tmp_path, event_at="2024-01-31T12:00:00Z")
    assert [cue["text"] for cue in done.records[0]["data"]["cues"]] == ["一緒に"]


WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20)


@given(
    st.lists(st.tuples(st.integers(0, 3_599_999), st.integers(0, 5000), WORDS), min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
)
@example([(0, 0, "1"), (0, 0, "0")], False, False)
@settings(max_examples=150, deadline=None)
def test_cues_come_back_as_they_were_written(
    given_cues: list[tuple[int, int, str]], is_vtt: bool, has_numbers: bool
) -> None:
    def stamp(ms: int) -> str:
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{'.' if is_vtt else ','}{ms % 1000:03}"

    blocks = [
        (f"{number}\n" if has_numbers else "") + f"{stamp(start)} --> {stamp(start + length)}\n{text}"
        for number, (start, length, text) in enumerate(given_cues, 1)
    ]
    text = "\n\n".join([*(["WEBVTT"] if is_vtt else []), *blocks]) + "\n"
    assert shown(text) == [(start / 1000, (start + length) / 1000, "", words) for start, length, words in given_cues]


@given(st.text(st.sampled_from("0123456789:.,-> \nWEBVTTNOTE<v>a"), max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_read(text: str) -> None:
    cues.parsed(text)


def test_times_before_the_start_are_read() -> None:
    text = "1\n-00:00:06,500 --> -00:00:02,000\nfirst\n\n2\n-00:01,000 --> 00:01,000\nsecond\n"
    assert shown(text) == [(-6.5, -2.0, "", "first"), (-1.0, 1.0, "", "second")]


def test_stray_texts_are_listed_with_their_lines() -> None:
    defects = cues.parsed("stray\n\nmore\nof it\n\nlast\n\n1\n00:01,000 --> 00:02,000\nwords\n").defects
    assert defects == [f"near line {line}: text that belongs to no cue" for line in (1, 3, 6)]


def test_files_with_the_same_name_do_not_replace_each_other_and_copies_are_duplicates(tmp_path: Path) -> None:
    for folder, words in (("a", "one"), ("b", "two"), ("c", "one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "call.srt").write_text(f"1\n00:01,000 --> 00:02,000\n{words}\n")
    (tmp_path / "d").mkdir()
    for name in ("broken.srt", "other.srt"):
        (tmp_path / "d" / name).write_text("nothing")
    paths = [tmp_path / folder for folder in "abcd"]
    done = run("srt", *paths, tmp_path / "a" / "call.srt", tmp_path / "d" / "broken.srt", folder=tmp_path)
    first, second = (one["_vendor_ids"] for one in done.records)
    assert first == {"transcript_file": "call.srt"}
    assert (second["transcript_file"], len(second["content_sha256"])) == ("call.srt", 64)
    assert (done.writer.duplicates, done.writer.failed) == (2, 3)


@pytest.mark.parametrize("arrow", ["-->", "->", "–>", "—>", "-- >", "—–>"])
def test_arrows_that_word_processors_changed_are_read(arrow: str) -> None:
    assert shown(f"1\n00:00:01,000 {arrow} 00:00:02,000\nwords\n") == [(1.0, 2.0, "", "words")]


def test_standard_input_is_a_transcript_with_an_id_of_its_content_and_a_given_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"1\n00:01,000 --> 00:02,000\nwords\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    (record,) = run("srt", Path("-"), folder=tmp_path, event_at="2026-01-31T12:00:00Z").records
    assert record["_vendor_ids"] == {"content_sha256": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert "--event-at" in run("srt", Path("-"), folder=tmp_path).reasons[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<v Ann>Hi</v> (laughs) <v Bob>yo", [("Ann", "Hi"), ("", "(laughs)"), ("Bob", "yo")]),
        ("<v Ann\nLee>Hi", [("Ann Lee", "Hi")]),
        ("<v Ann></v>", [("", "")]),
        (">> ANN: hi\n>> BOB: yo\nand on", [("ANN", "hi"), ("BOB", "yo\nand on")]),
        ("- Ann Lee: hi\n- Bob Roe: yo", [("Ann Lee", "hi"), ("Bob Roe", "yo")]),
        ("- hi\n- yo", [("", "- hi\n- yo")]),
    ],
)
def test_each_speaker_of_a_cue_gets_only_the_own_words(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(cue[2], cue[3]) for cue in shown(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{text}\n")] == expected


def test_text_after_a_blank_line_or_a_line_of_spaces_belongs_to_its_cue() -> None:
    text = (
        "WEBVTT\n\n00:00.000 --> 00:03.000\n\n(Ann Lee)\nHello\n\n00:03.000 --> 00:04.000\n \none<00:03.500><c> two</c>\n\n"
        "00:05.000 --> 00:06.000\n\nNOTE\nnothing said\n\n7\n00:07.000 --> 00:08.000\nthree\n"
    )
    assert shown(text) == [
        (0.0, 3.0, "Ann Lee", "Hello"), (3.0, 4.0, "", "one two"), (5.0, 6.0, "", ""), (7.0, 8.0, "", "three"),
    ]  # fmt: skip
    parsed = cues.parsed(text)
    assert (parsed.notes, parsed.defects) == (["nothing said"], ["line 12: the cue has no text"])


def test_number_with_a_blank_line_before_its_times_is_no_text() -> None:
    text = "1\n\n00:00:01,000 --> 00:00:02,000\n\nin\n\n2024\n\n2\n\n00:00:02,000 --> 00:00:03,000\n\ntwo\n"
    assert shown(text) == [(1.0, 2.0, "", "in\n\n2024"), (2.0, 3.0, "", "two")]
    assert ([cue.id for cue in cues.parsed(text).cues], cues.parsed(text).defects) == (["1", "2"], [])
