"""Parses the cues of WebVTT and SRT as tools really write them: without hours, with comma or point, with blank lines.

Every line with times starts a cue, whatever the line before it is. So a broken cue does not affect the next one.
"""

import html
import re
from collections import Counter
from dataclasses import dataclass, field

# Programs that translate subtitles put a space beside the colons and commas.
# Shifting subtitles gives times before the start.
_TIME = r"(-?)(?:(\d{1,4}) ?: ?)?(\d{1,3}) ?: ?(\d{1,2})(?: ?[.,:] ?(\d{1,6}))?"
# Word processors make dashes of hyphens.
_TIMES = re.compile(rf"\s*{_TIME}\s*[-–—]{{1,3}} ?>\s*{_TIME}(.*)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]{1,256})>|</v\s*>")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_PREFIX = re.compile(r"(?:>>+\s*|-\s+)?\[?([^\W\d_][^:<>\[\]\n]{0,59}?)\]?(?::(?:\s+|$)|：)")
# Several people in one cue, each on a line with a mark and a name.
_TURN = re.compile(r"\n(?=(?:>>|- )[^:\n]{1,60}:\s)")
# A full name alone in parentheses above its words, as in captions of Google Meet. One word is often a sound: (Laughter).
_NAME_ABOVE = re.compile(r"\(([^\W\d_][^:<>()\[\]\s]{0,29} [^:<>()\[\]\n]{1,40})\)\n")
_WORD = re.compile(r"[^\W_]")
# Words that precede a colon but are not names.
_NO_NAMES = frozenset({"note", "question", "answer", "example", "warning", "http", "https", "kind", "language", "ps"})


@dataclass(slots=True)
class Cue:
    """``start``, ``end``: seconds. ``line``: the number of the line with its times, from 1."""

    start: float
    end: float
    text: str
    line: int
    id: str = ""
    speaker: str = ""
    settings: str = ""


@dataclass(slots=True)
class Transcript:
    """The cues in the order of the file, the notes, the metadata of the header, and the defects."""

    format: str
    cues: list[Cue] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    header: str = ""
    defects: list[str] = field(default_factory=list)

    @property
    def speakers(self) -> list[str]:
        """Each speaker once, in the order of the first cue."""
        return list(dict.fromkeys(cue.speaker for cue in self.cues if cue.speaker))


def parsed(text: str) -> Transcript:
    """The transcript in a text with line feeds."""
    lines = text.split("\n")
    transcript = Transcript("vtt" if lines[0].startswith("WEBVTT") else "srt")
    times = [(index, found) for index, line in enumerate(lines) if ">" in line and (found := _TIMES.match(line))]
    is_spaced = bool(times) and _has_spaced_lines(lines, times[0][0])
    starts = [_first_line(lines, index, number if is_spaced else None) for number, (index, _) in enumerate(times)]
    if times:
        _take_between(transcript, lines[: starts[0]], 0)
    for number, (index, found) in enumerate(times):
        stop = max(starts[number + 1], index + 1) if number + 1 < len(times) else len(lines)
        id = lines[starts[number]].strip() if starts[number] < index else ""
        _take_cue(transcript, found, id, lines[index + 1 : stop], index + 1)
    for index, line in enumerate(lines, 1):
        if "-->" in line and _TIMES.match(line) is None:
            transcript.defects.append(f"line {index}: times that cannot be read")
    _name_speakers(transcript)
    return transcript


def _has_spaced_lines(lines: list[str], first: int) -> bool:
    """Whether a blank line follows each line, as some programs write them. ``first``: the line with the first cue's times.

    Only the first cue tells, because the text of another cue may be a number.
    """
    return first >= 2 and not lines[first - 1].strip() and lines[first - 2].strip() in ("0", "1")


def _first_line(lines: list[str], index: int, number: int | None) -> int:
    """The line with a cue's identifier, or the line with its times if it has no identifier.

    ``number``: the cues before it, if a blank line may follow the identifier.
    """
    before = lines[index - 1].strip() if index else ""
    if number is not None and not before and lines[index - 2].strip() in (str(number), str(number + 1)):
        return index - 2
    if not before or _TIMES.match(before) or before.startswith("WEBVTT"):
        return index
    stands_alone = index < 2 or not lines[index - 2].strip()
    return index - 1 if before.isdigit() or (stands_alone and not _BLOCK.match(before)) else index


def _take_cue(transcript: Transcript, times: re.Match[str], id: str, lines: list[str], number: int) -> None:
    start, end = _seconds(times.groups()[:5]), _seconds(times.groups()[5:10])
    body = lines
    if transcript.format == "vtt":
        # A blank line ends the text. Notes and styles may follow. Some programs also write blank lines before the text.
        first = next((index for index, line in enumerate(lines) if line.strip()), 0)
        start_of_text = 0 if _BLOCK.match(lines[first] if lines else "") else first
        # A line of spaces is not blank: YouTube's captions begin with one.
        stop = next((index for index, line in enumerate(lines) if not line and index >= start_of_text), len(lines))
        body = lines[:stop]
        _take_between(transcript, lines[stop:], number + stop)
    if end < start:
        transcript.defects.append(f"line {number}: the cue ends before it starts")
    markup = "\n".join(body).strip()
    if not markup:
        transcript.defects.append(f"line {number}: the cue has no text")
    voices = _voices(markup)
    for speaker, words in [voice for voice in voices if voice[1]] or voices[:1]:
        for text in [words] if speaker else _TURN.split(words):
            transcript.cues.append(Cue(start, end, text, number, id, speaker, times[11].strip()))


def _voices(markup: str) -> list[tuple[str, str]]:
    """Each speaker with the words. Words outside of voices have no speaker."""
    found, speaker, at = [], "", 0
    for mark in [*_VOICE.finditer(markup), None]:
        words = markup[at : mark.start() if mark else len(markup)]
        found.append((" ".join(html.unescape(speaker).split()), html.unescape(_TAG.sub("", words)).strip()))
        if mark:
            speaker, at = mark[1] or "", mark.end()
    return found


def _take_between(transcript: Transcript, lines: list[str], number: int) -> None:
    """The header, notes, styles, and texts that belong to no cue."""
    for block in "\n".join(lines).split("\n\n"):
        first, number = number, number + block.count("\n") + 2
        text = block.strip()
        if text.startswith("WEBVTT"):
            transcript.header = text
        elif text.startswith("NOTE"):
            transcript.notes.append(text[4:].strip())
        elif text and not _BLOCK.match(text):
            transcript.defects.append(f"near line {first + 1}: text that belongs to no cue")


def _seconds(parts: tuple[str | None, ...]) -> float:
    sign, hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    instant = round(whole + float(f"0.{fraction or 0}"), 3)
    return -instant if sign else instant


def _name_speakers(transcript: Transcript) -> None:
    """Treat names before a colon as speakers if they have several words, occur more than once, or are in capitals.

    If most cues have such a name, any name is one.
    """
    found = [
        (cue, match)
        for cue in transcript.cues
        if not cue.speaker and (match := _PREFIX.match(cue.text) or _NAME_ABOVE.match(cue.text))
    ]
    counts = Counter(match[1] for _, match in found)
    named = [(cue, match) for cue, match in found if _is_name(match[1].strip())]
    likely = [(cue, match) for cue, match in named if _is_likely(match[1].strip(), counts[match[1]])]
    for cue, match in named if 2 * len(likely) > len(transcript.cues) else likely:
        cue.speaker, cue.text = match[1].strip(), cue.text[match.end() :].strip()


def _is_name(name: str) -> bool:
    words = name.split()
    return (
        len(words) <= 5
        and name.lower() not in _NO_NAMES
        and all(word[0].isupper() or not _WORD.match(word) or len(word) <= 3 for word in words)
        and (name[0].isupper() or (name[0].isalpha() and not name[0].islower()))
    )


def _is_likely(name: str, count: int) -> bool:
    return len(name.split()) >= 2 or count >= 2 or name.isupper()
