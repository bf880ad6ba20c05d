"""The format of segments: every way to read a segment returns what was written."""

import io
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from evermuse.errors import ArchiveDamaged
from lake.json_text import one_line
from lake.segments import layout, reader
from lake.segments.layout import FRAME_BYTES
from lake.segments.writer import Line, LineBatch, SegmentWriter

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

DOCUMENTS = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.text("{}\r\n \u2028\u0085ä", min_size=1, max_size=80).map(str.encode),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=20), st.integers(1, 8000)),
)
BATCHES = st.lists(st.lists(DOCUMENTS, min_size=1, max_size=12), min_size=1, max_size=6)


def lines_of(batches: list[list[bytes]]) -> list[Line]:
    """Makes lines of batches as landing does: by index, each with its place in the body."""
    found: list[Line] = []
    for number, documents in enumerate(batches, 1):
        batch = LineBatch(number * 7, f"source {number}", NOON + timedelta(microseconds=number))
        at = 1
        for index, document in enumerate(documents):
            found.append(Line(batch, index * 2, at, len(document), (number << 16 | index).to_bytes(16), document))
            at += len(document) + 1
    return found


def written(lines: list[Line]) -> tuple[bytes, SegmentWriter]:
    """Returns a segment of these lines, and its writer."""
    writer = SegmentWriter(workspace_id=3, workspace="acme", type="email")
    for line in lines:
        writer.add(line)
    return writer.finish(), writer


@given(BATCHES)
def test_every_line_is_read_back_with_all_of_its_properties(batches: list[list[bytes]]) -> None:
    lines = lines_of(batches)
    content, writer = written(lines)
    assert [one for block in reader.blocks(content) for one in reader.read_block(block).entries()] == lines
    assert writer.line_count == len(lines)


@given(BATCHES)
def test_standard_zstd_decoder_returns_the_ndjson(batches: list[list[bytes]]) -> None:
    lines = lines_of(batches)
    content, _ = written(lines)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as stream:
        assert stream.read() == b"".join(one_line(line.document) + b"\n" for line in lines)


@given(BATCHES)
def test_span_of_a_batch_locates_the_block_of_each_record(batches: list[list[bytes]]) -> None:
    lines = lines_of(batches)
    content, writer = written(lines)
    for line in lines:
        span = writer.spans[line.batch.number]
        nth = max(n for n, first in enumerate(span.firsts) if first <= line.offset)
        begins = span.ends[nth - 1] if nth else 0
        block = content[span.start + begins : span.start + span.ends[nth]]
        assert reader.read_block(block).find(line.batch.number, line.offset) == line.document
    assert {number: span.lines for number, span in writer.spans.items()} == {
        7 * number: len(documents) for number, documents in enumerate(batches, 1)
    }


@given(BATCHES)
def test_blocks_hold_64_kib_or_one_longer_line(batches: list[list[bytes]]) -> None:
    content, _ = written(lines_of(batches))
    table = reader.table_of(content)
    for size, block in zip(table, reader.blocks(content), strict=True):
        found = reader.read_block(block)
        assert size.lines <= FRAME_BYTES or len(found.lines) == 1
    for before, after in zip(reader.blocks(content), list(reader.blocks(content))[1:], strict=False):
        together = [*reader.read_block(before).lines, reader.read_block(after).lines[0]]
        assert sum(len(line) + 1 for line in together) > FRAME_BYTES


@given(BATCHES, BATCHES)
def test_copied_blocks_stay_unchanged(first: list[list[bytes]], second: list[list[bytes]]) -> None:
    source, _ = written(lines_of(first))
    target = SegmentWriter(workspace_id=3, workspace="acme", type="email")
    streamed = b""
    for size, block in zip(reader.table_of(source), reader.blocks(source), strict=True):
        target.copy(block, size, reader.read_block(block).listing)
        streamed += target.take()
    more = [
        Line(LineBatch(900 + line.batch.number, "x", NOON), line.index, line.offset, line.size, line.key, line.document)
        for line in lines_of(second)
    ]
    for line in more:
        target.add(line)
    content = streamed + target.finish()
    assert content.startswith(b"".join(reader.blocks(source)))
    found = [one for block in reader.blocks(content) for one in reader.read_block(block).entries()]
    assert found == [*lines_of(first), *more]
    assert target.spans.keys() == {line.batch.number for line in [*lines_of(first), *more]}


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_zstd_program_returns_the_ndjson_and_verifies_the_file(tmp_path: Path) -> None:
    lines = lines_of([[b'{"n":%d,\r\n"text":"%b"}' % (n, b"x" * 900) for n in range(300)], [b"{}"]])
    content, _ = written(lines)
    file = tmp_path / "segment.ndjson.zst"
    file.write_bytes(content)
    plain = subprocess.run(["zstd", "-dcq", str(file)], capture_output=True, check=True).stdout
    assert plain == b"".join(one_line(line.document) + b"\n" for line in lines)
    assert subprocess.run(["zstd", "-tq", str(file)], check=True).returncode == 0


@pytest.mark.parametrize("at", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_damaged_byte_is_detected_or_changes_no_line(at: float) -> None:
    """A changed byte never results in another text without an error."""
    lines = lines_of([[b'{"n":%d,"text":"%b"}' % (n, bytes([65 + n % 26]) * 900) for n in range(200)]])
    content, _ = written(lines)
    place = int(len(content) * at)
    damaged = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
    try:
        found = [one for block in reader.blocks(damaged) for one in reader.read_block(block).entries()]
    except ArchiveDamaged:
        return
    assert [one.document for one in found] == [line.document for line in lines]


@pytest.mark.parametrize("content", [b"", b"x" * 8, b"x" * 100, zstandard.ZstdCompressor().compress(b"{}\n")])
def test_bytes_that_are_no_segment_are_reported_as_damaged(content: bytes) -> None:
    with pytest.raises(ArchiveDamaged):
        list(reader.blocks(content))


def test_truncated_block_is_reported_as_damaged() -> None:
    content, _ = written(lines_of([[b"{}" * 1000]]))
    (block,) = reader.blocks(content)
    for end in (5, 12, len(block) - 3):
        with pytest.raises(ArchiveDamaged):
            reader.read_block(block[:end])


def test_skippable_frame_of_another_program_is_not_a_listing() -> None:
    with pytest.raises(ArchiveDamaged, match="no listing"):
        layout.listing_of(b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd")
