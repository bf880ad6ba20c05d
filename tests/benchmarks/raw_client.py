"""The plainest programs that send bodies and read a list: the limits of the client's rows. Each is a process, as `evermuse` is.

`python -m tests.benchmarks.raw_client send DIRECTORY [packed]` posts each file, six at a time, and compresses it unless it is
``packed``. `… stream FILE` writes all records to a file. Server and key: EVERMUSE_URL and EVERMUSE_API_KEY.
"""

import asyncio
import gzip
import os
import sys
from pathlib import Path

import httpx

AT_ONCE = 6


async def send(directory: Path, *, compresses: bool = True) -> None:
    """Posts the files. With ``compresses`` it compresses them as `evermuse send` does; else they are compressed already."""
    waiting = iter(sorted(directory.iterdir()))
    headers = {**_key(), "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    async with httpx.AsyncClient(base_url=os.environ["EVERMUSE_URL"], headers=headers, timeout=60) as http:

        async def work() -> None:
            for path in waiting:
                body = path.read_bytes()
                content = await asyncio.to_thread(gzip.compress, body, 1) if compresses else body
                answer = await http.post("/api/v1/ingest", content=content)
                assert answer.status_code == 202, answer.text

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def stream(path: Path) -> None:
    """Writes the list of records to a file as it comes."""
    url = f"{os.environ['EVERMUSE_URL']}/api/v1/records"
    headers = {**_key(), "Accept": "application/x-ndjson"}
    with httpx.stream("GET", url, headers=headers, timeout=60) as answer, path.open("wb") as file:
        assert answer.status_code == 200
        for part in answer.iter_bytes():
            file.write(part)


def _key() -> dict[str, str]:
    return {"x-api-key": os.environ["EVERMUSE_API_KEY"]}


if __name__ == "__main__":
    command, given, *more = sys.argv[1:]
    if command == "send":
        asyncio.run(send(Path(given), compresses="packed" not in more))
    else:
        stream(Path(given))
