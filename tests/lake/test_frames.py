"""Bodies are stored in frames; a record is read from only the frames that hold it."""

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ingest.models import Batch, Workspace
from lake import frames
from lake.frames import FRAME_BYTES, Place
from lake.models import Payload

BODIES = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda part, times, rest: part * times + rest, st.binary(min_size=1, max_size=50), st.integers(1, 5000), st.binary(max_size=50)),
)  # fmt: skip


@given(BODIES)
def test_body_is_unpacked_unchanged(body: bytes) -> None:
    content, ends = frames.pack(body)
    assert frames.unpack(content, ends, len(body)) == body
    assert len(ends) == (0 if len(body) <= FRAME_BYTES else -(-len(body) // FRAME_BYTES))


def store(workspace: Workspace, body: bytes, *, is_framed: bool = True) -> int:
    batch = Batch.objects.create(
        workspace=workspace, source="api", type="call", created_at="2026-01-01T00:00:00Z", record_count=1,
        accepted_count=1, rejected_count=0, error_count=0,
    )  # fmt: skip
    content, ends = frames.pack(body)
    if not is_framed:
        content, ends = zstandard.ZstdCompressor().compress(body), []
    Payload.objects.create(batch=batch, media_type="application/json", size=len(body), frames=ends, content=content)
    return batch.pk


@pytest.mark.parametrize("is_framed", [True, False])
@pytest.mark.parametrize(
    ("offset", "size"),
    [
        (0, 1),
        (0, FRAME_BYTES),
        (FRAME_BYTES - 1, 1),
        (FRAME_BYTES - 1, 2),
        (FRAME_BYTES, 1),
        (10, 3 * FRAME_BYTES),
        (3 * FRAME_BYTES, 77),
    ],
)
def test_slice_is_read_across_frame_boundaries(workspace: Workspace, offset: int, size: int, is_framed: bool) -> None:
    body = b"".join(b"%07d," % n for n in range(FRAME_BYTES // 8 * 3 + 10))
    place = Place(store(workspace, body, is_framed=is_framed), offset, size)
    other = Place(store(workspace, b"[1]"), 1, 1)
    assert frames.read([place, other, place]) == {place: body[offset : offset + size], other: b"1"}


def test_reading_no_places_returns_nothing(db: None) -> None:
    assert frames.read([]) == {}
