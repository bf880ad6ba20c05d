"""The answer of a dry run, with all errors: 100,000 of them may take 30 MB, which no process must hold for each client."""

import tempfile
from typing import IO

import msgspec
from django.http import FileResponse, HttpResponseBase

from ingest.api.base import json_answer
from lake.landing import Verdict

# A larger answer is written to a file without a name, and sent from there.
MEMORY_BYTES = 256 * 1024
# What one read of the file gives.
PIECE_BYTES = 64 * 1024

_encode = msgspec.json.Encoder().encode


class ShownError(msgspec.Struct, gc=False):
    """One of the errors."""

    index: int
    code: str
    pointer: str
    message: str


def answer(verdict: Verdict) -> HttpResponseBase:
    """The counts that a batch would get, and each error of each record. Takes the rejected records out of the verdict."""
    file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES, prefix="evermuse-answer-")  # noqa: SIM115
    try:
        _write(file, verdict)
        size = file.tell()
        file.seek(0)
        if size <= MEMORY_BYTES:
            return json_answer(file.read())
    except BaseException:
        file.close()
        raise
    response = FileResponse(file, content_type="application/json")
    response.block_size = PIECE_BYTES
    response["Content-Length"] = str(size)
    return response


def _write(file: IO[bytes], verdict: Verdict) -> None:
    counts = {
        "acceptedCount": len(verdict.accepted),
        "rejectedCount": len(verdict.rejected),
        "totalErrorCount": verdict.error_count,
    }
    file.write(_encode(counts)[:-1] + b',"errors":[')
    verdict.rejected.reverse()
    separator = b""
    while verdict.rejected:
        record = verdict.rejected.pop()
        shown = [ShownError(record.index, error.code, error.pointer, error.message) for error in record.errors]
        file.write(separator + _encode(shown)[1:-1])
        separator = b","
    file.write(b"]}")
