"""Finds quotations of earlier mails and signatures. The text itself stays complete.

Rules: lines that begin with ``>``, with the line of attribution before them ("On … wrote:"); everything from a separator
such as "-----Original Message-----" or from a block of From, Sent and Subject lines to the end; a signature from a line
``-- `` to the next quotation or the end.
"""

import re

_ATTRIBUTION = re.compile(
    r"(?:wrote|writes|said|schrieb|a écrit|escribi[óo]|ha scritto|escreveu|schreef|skrev|napisał\(a\)|пишет|写道|さんは書きました)"
    r"[^\n]{0,80}[:：]\s*$",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    r"[-_ ]*(?:original message|ursprüngliche nachricht|message d'origine|mensaje original|messaggio originale"
    r"|oorspronkelijk bericht|mensagem original|forwarded message|forwarded by [^\n]*|weitergeleitete nachricht)[-_ ]*$",
    re.IGNORECASE,
)
_FROM = re.compile(r"\*?(?:from|von|de|da|van|från|fra)\*?\s?:\*?\s", re.IGNORECASE)
_SENT = re.compile(
    r"\*?(?:sent|date|gesendet|envoyé|enviado|inviato|verzonden|datum|data|fecha|skickat)( am| el)?\*?\s?:\*?\s",
    re.IGNORECASE,
)
_SUBJECT = re.compile(r"\*?(?:subject|betreff|objet|asunto|oggetto|onderwerp|assunto|ämne)\*?\s?:", re.IGNORECASE)


def marked(text: str) -> list[dict[str, int | str]]:
    """The ranges: start and end (exclusive) in characters of the text, and the kind: quote or signature."""
    lines = text.split("\n")
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    starts.append(len(text))
    ranges: list[dict[str, int | str]] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if _starts_rest(lines, index):
            ranges.append({"start": starts[index], "end": len(text), "kind": "quote"})
            break
        if line.lstrip(" |").startswith(">"):
            stop = _quote_end(lines, index)
            first = _with_attribution(lines, index)
            if ranges and int(ranges[-1]["end"]) > starts[first]:
                # If the attribution is inside a signature, the signature ends there.
                ranges[-1]["end"] = starts[first]
            ranges.append({"start": starts[first], "end": min(starts[stop], len(text)), "kind": "quote"})
            index = stop
        elif line.rstrip("\r") == "-- ":
            stop = next((i for i in range(index + 1, len(lines)) if _is_quoted(lines, i)), len(lines))
            ranges.append({"start": starts[index], "end": min(starts[stop], len(text)), "kind": "signature"})
            index = stop
        else:
            index += 1
    return ranges


def _is_quoted(lines: list[str], index: int) -> bool:
    return lines[index].lstrip(" |").startswith(">") or _starts_rest(lines, index)


def _quote_end(lines: list[str], index: int) -> int:
    """The end of the last quoted line. A single blank line between quoted lines belongs to the quotation."""
    stop = index + 1
    while stop < len(lines):
        if lines[stop].lstrip(" |").startswith(">"):
            stop += 1
        elif not lines[stop].strip() and stop + 1 < len(lines) and lines[stop + 1].lstrip(" |").startswith(">"):
            stop += 2
        else:
            break
    return stop


def _with_attribution(lines: list[str], index: int) -> int:
    """The first line of the attribution, which has up to three lines, or else of the quotation."""
    last = index - 1
    if last >= 0 and not lines[last].strip():
        last -= 1
    if last < 0 or len(lines[last]) > 300 or _ATTRIBUTION.search(lines[last]) is None:
        return index
    first = last
    while first > 0 and last - first < 2 and lines[first - 1].strip() and not lines[first].lstrip().startswith("On "):
        first -= 1
    return first if lines[first].lstrip().startswith("On ") else last


def _starts_rest(lines: list[str], index: int) -> bool:
    line = lines[index].strip()
    if len(line) > 200:
        return False
    if line[:1] in "-_" and len(line) > 8 and _SEPARATOR.match(line) is not None:
        return True
    if _FROM.match(line) is None:
        return False
    block = [one.strip()[:200] for one in lines[index + 1 : index + 8]]
    return any(map(_SENT.match, block)) and any(map(_SUBJECT.match, block))
