"""One run of `evermuse send`, from the paths to the last acknowledgement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evermuse.client.blocking import Client
from evermuse.client.errors import EvermuseError
from evermuse.client.send import reading
from evermuse.client.send.attaching import Attacher
from evermuse.client.send.checking import Candidate, Invalid, check
from evermuse.client.send.delivery import Delivery, Draft
from evermuse.client.send.grouping import Grouper
from evermuse.client.send.journal import CURRENT, PLANNED, UNSEEN, Journal, Plan, open_journal, positions_of
from evermuse.client.send.known import KnownRecords
from evermuse.client.send.opening import OpenSource, SourceError
from evermuse.client.send.outcome import Outcomes
from evermuse.client.send.sources import ENDINGS, Source, ignored
from evermuse.client.send.stored import EarlierFiles
from evermuse.client.wording import counted

# The number of records that are checked together.
_CHECKED = 256


@dataclass(slots=True)
class Options:
    """``limit``: the most records. ``width``: batches at once. ``state``: the directory of this run's journal.

    ``wait``: whether files of records that are there already will be followed.
    """

    overwrite: bool = False
    attach: Path | None = None
    limit: int | None = None
    width: int = 6
    state: Path | None = None
    rejects: Path | None = None
    wait: bool = False


@dataclass
class Reader:
    """Reads sources as lists of records, and counts. ``convert``: reads them as another format than JSON."""

    sources: Sequence[Source]
    limit: int | None = None
    convert: Callable[[Source], Iterator[bytes]] | None = None
    records: int = 0
    position: int = 0
    unreadable: list[str] = field(default_factory=list)

    @cached_property
    def ignored(self) -> list[Path]:
        """The files in directories that are not read, because their names do not say that they have records."""
        return [] if self.convert is not None else ignored({source.argument for source in self.sources})

    def ignored_text(self) -> str:
        """A message about them, or an empty text."""
        if not self.ignored:
            return ""
        return f"{counted(len(self.ignored), 'file')} ignored, such as {self.ignored[0]}: the names must end with {ENDINGS}."

    def chunks(self) -> Iterator[tuple[int, int, list[bytes]]]:
        """The source, the number of the first record, and the records. A source that breaks off is noted."""
        for index, source in enumerate(self.sources):
            number = 0
            before = self.position
            opened: OpenSource | None = None
            try:
                if self.convert is not None:
                    found: Iterator[list[bytes]] = ([line] for line in self.convert(source))
                else:
                    opened = OpenSource(source.path)
                    found = reading.records(opened.blocks())
                for chunk in _gathered(found):
                    if opened is not None:
                        self.position = before + opened.position
                    wanted = chunk if self.limit is None else chunk[: self.limit - self.records]
                    if wanted:
                        self.records += len(wanted)
                        yield index, number, wanted
                        number += len(wanted)
                    if self.limit is not None and self.records >= self.limit:
                        return
            except (SourceError, OSError) as error:
                self.unreadable.append(f"{source.name}: {error}")
            self.position = before + source.size


def _gathered(chunks: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """The same records in lists of about _CHECKED."""
    open: list[bytes] = []
    for chunk in chunks:
        open += chunk
        if len(open) >= _CHECKED:
            for at in range(0, len(open), _CHECKED):
                yield open[at : at + _CHECKED]
            open = []
    if open:
        yield open


class Run:
    """The parts of a run. Call `go`, then read the counts of `journal.totals`, `reader` and `outcomes`."""

    def __init__(self, client: Client, reader: Reader, options: Options, note: Callable[[str], None]) -> None:
        self.client, self.reader, self.options, self._note = client, reader, options, note
        self.journal = _journal(reader.sources, options)
        self.outcomes = Outcomes(reader.sources, self.journal, options.rejects)
        self.attacher = Attacher(options.attach, client)
        self.earlier_files = EarlierFiles()
        watch = self.earlier_files.add if options.wait else _nothing
        self._known = KnownRecords(client, overwrite=options.overwrite, lookup=self.attacher.known, watch=watch)
        self.delivery = Delivery(client, self.journal, self._known, self.attacher, self.outcomes, width=options.width)
        self._grouper: Grouper[Candidate] = Grouper()
        self._rebuilt = _Rebuilt(self.journal)

    def go(self, tick: Callable[[], None]) -> None:
        """Read, check, group and send all. Calls ``tick`` after each part that was read, and while it waits.

        Raises EvermuseError.
        """
        self._known.begin(self._note)
        if self.journal.is_resumed:
            self._note(f"Continuing an interrupted run: {counted(self.journal.totals.all, 'record')} done already.")
        for index, first, raws in self.reader.chunks():
            self._take(check(raws, index, first), tick)
            tick()
        for draft in self._rebuilt.incomplete():
            self.delivery.submit(draft, tick)
        for group in self._grouper.rest():
            self.delivery.submit(Draft(group), tick)
        self.delivery.finish(tick)
        self.journal.end()

    def _take(self, found: Sequence[Candidate | Invalid], tick: Callable[[], None]) -> None:
        if self.journal.is_resumed:
            found = self._unseen(found, tick)
        valid = [one for one in found if isinstance(one, Candidate)]
        if self.options.attach is not None:
            for one in valid:
                self.attacher.find(one)
        for group in self._grouper.add_all(valid):
            self.delivery.submit(Draft(group), tick)
        if len(valid) < len(found):
            self.outcomes.invalid([one for one in found if isinstance(one, Invalid)])

    def _unseen(self, found: Sequence[Candidate | Invalid], tick: Callable[[], None]) -> list[Candidate | Invalid]:
        """The records that no earlier process has handled. Sends batches again that an earlier process planned."""
        unseen: list[Candidate | Invalid] = []
        for one in found:
            code = self.journal.code(one.position)
            if code == UNSEEN:
                unseen.append(one)
            elif isinstance(one, Invalid):
                continue
            elif code == PLANNED:
                self.attacher.find(one)
                if (draft := self._rebuilt.add(one)) is not None:
                    self.delivery.submit(draft, tick)
            else:
                if self.options.wait and code == CURRENT:
                    self.attacher.find(one)
                self._known.remember(one, code)
        return unseen


def _nothing(candidate: Candidate) -> None:
    """For runs that do not wait."""


class _Rebuilt:
    """Reassembles batches that an earlier process planned and may have sent."""

    def __init__(self, journal: Journal) -> None:
        self._plans = dict(journal.pending)
        self._plan_of = {place: plan.number for plan in self._plans.values() for place in positions_of(plan.spans)}
        self._parts: dict[int, list[Candidate]] = {number: [] for number in self._plans}
        self._sizes = {number: sum(1 for _ in positions_of(plan.spans)) for number, plan in self._plans.items()}

    def add(self, candidate: Candidate) -> Draft | None:
        """The batch, once its last record has been read."""
        number = self._plan_of[candidate.position]
        self._parts[number].append(candidate)
        return self._draft(number) if len(self._parts[number]) == self._sizes[number] else None

    def incomplete(self) -> list[Draft]:
        """Batches with missing records. Their bodies will differ, so the server is asked about them."""
        return [self._draft(number) for number in sorted(self._parts) if self._parts[number]]

    def _draft(self, number: int) -> Draft:
        plan: Plan = self._plans[number]
        return Draft(self._parts.pop(number), plan)


def _journal(sources: Sequence[Source], options: Options) -> Journal:
    """A pipe cannot be read again, so it has no journal."""
    if options.state is None or any(source.is_stream for source in sources):
        return open_journal(None, [])
    identities: list[Any] = [source.identity() for source in sources]
    try:
        return open_journal(options.state, [*identities, options.limit, options.overwrite])
    except OSError as error:
        raise EvermuseError(
            "STATE_ERROR", f"the state of the run cannot be stored: {error}; name another directory with --state-dir"
        ) from None
