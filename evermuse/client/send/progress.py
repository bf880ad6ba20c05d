"""Shows the progress of a run: a bar on a terminal, a line now and then in a pipe, nothing with --json."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from evermuse.client.send.running import Run
from evermuse.client.wording import counted

LINE_SECONDS = 5.0
BAR_SECONDS = 0.1


class Display:
    """Shows the counts of a run. Call `tick` often."""

    def __init__(self, console: Console, *, is_quiet: bool) -> None:
        self._console, self._is_quiet = console, is_quiet
        self._started = time.monotonic()
        self._shown = self._started
        self._done = 0.0
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._is_quiet:
            # Only the bar gets shorter if the terminal is narrow, so that 80 columns show all figures.
            self._progress = Progress(
                BarColumn(bar_width=None), TextColumn("{task.fields[counts]}"), TimeRemainingColumn(),
                console=self._console, transient=True, expand=True,
            )  # fmt: skip
            self._progress.start()
            self._task = self._progress.add_task("send", total=None, counts="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def note(self, text: str) -> None:
        """Print a message for the user."""
        if not self._is_quiet:
            self._console.print(text)

    def tick(self, run: Run) -> None:
        """Show the counts, unless they were shown just before."""
        now = time.monotonic()
        if self._is_quiet or now - self._shown < (LINE_SECONDS if self._progress is None else BAR_SECONDS):
            return
        since, self._shown = now - self._shown, now
        total = _total(run)
        before, self._done = self._done, _done(run)
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done, total=total, counts=self._counts(run, now))
            return
        left = ""
        if total and self._done > before:
            seconds = since * (total - self._done) / (self._done - before)
            left = f", about {seconds:,.0f} s left"
        self._console.print(f"{self._counts(run, now)}{left}")

    def _counts(self, run: Run, now: float) -> str:
        totals = run.journal.totals
        rate = run.outcomes.sent_records / max(now - self._started, 0.001)
        megabytes = run.outcomes.sent_bytes / 1_000_000
        return f"{counted(totals.all, 'record')}, {megabytes:,.1f} MB sent, {rate:,.0f} records/s, {totals.rejected:,} rejected"


def _total(run: Run) -> int | None:
    """The bytes of all sources, or None if it is unknown how much is left: of a pipe, or of a file that is converted."""
    if run.reader.convert is not None:
        return None
    return sum(source.size for source in run.reader.sources) or None


def _done(run: Run) -> float:
    """The bytes of the sources whose records are accounted for. More of them are read, and wait to be sent."""
    return run.reader.position * min(1.0, run.journal.totals.all / max(1, run.reader.records))
