"""Parses lists of mailboxes (From, To, Cc …). It takes linear time and never fails, even for malformed lists."""

import re

from evermuse.client.convert.mail.words import plain

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*+)"|<([^<>]*+)>?|([,;:])|([^"(<,;:\s]++)|\s++|.', re.DOTALL)
# A quote or a parenthesis that is never closed counts as an ordinary character.
_COMMENT_MARK = re.compile(r"\\.|[()]", re.DOTALL)
_BARE = re.compile(r'("(?:[^"\\]|\\.)*+"|[^\s"@<>]{1,256}+)@(\[[^\]\s]*\]|[^\s"@<>]+)')
# Public archives of mailing lists write addresses like this.
_OBSCURED = re.compile(r"(\S+) at (\S+\.\S+)")
# Outlook's way to write an address, and addresses with doubled brackets.
_ODD_ANGLES = re.compile(r"\[mailto:\s*([^\]\s]++)\]|<<([^<>]*+)>>", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def mailboxes(text: str) -> list[tuple[str, str]]:
    """(name, address) of each mailbox; the address is empty if there is none. Names of groups are left out."""
    if not text:
        return []
    if "<<" in text or "[" in text:
        text = _ODD_ANGLES.sub(lambda found: f"<{found[1] or found[2]}>", text)
    scan = _Scan()
    at, quotes_close, comments_close = 0, True, True
    while at < len(text):
        if text[at] == "(" and comments_close:
            stop = _comment_end(text, at)
            if stop is not None:
                scan.comment = scan.comment or text[at + 1 : stop - 1]
                scan.raw.append(" ")
                at = stop
                continue
            comments_close = False
        if text[at] == '"' and not quotes_close:
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            break
        if found[0] == '"':
            quotes_close = False
        scan.take(found)
        at = found.end()
    scan.flush()
    return scan.found


class _Scan:
    """The mailbox being parsed, and those before it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.raw: list[str] = []
        self.words: list[str] = []
        self.comment = self.angle = ""
        # The number of words up to the address.
        self.after_angle = 0

    def take(self, token: re.Match[str]) -> None:
        if token[3] == ":":
            # The name of a group, or a scheme such as mailto.
            if not self.angle:
                self.raw, self.words = [], []
        elif token[3]:
            self.flush()
        elif token[2] is not None:
            if self.angle and token[2].strip():
                self._end_at_angle()
            self.angle = token[2].strip() or self.angle
            self.words.append(" ")
            self.after_angle = len(self.words)
        elif token[1] is not None:
            self._word(token[0], _ESCAPE.sub(r"\1", token[1]))
        elif token[0] != '"':
            self._word(token[0], token[0])

    def _word(self, raw: str, text: str) -> None:
        if self.angle and not text.isspace() and _BARE.fullmatch(raw) is not None:
            # A comma is missing before this address.
            self._end_at_angle()
        self.raw.append(raw)
        self.words.append(text)

    def _end_at_angle(self) -> None:
        """End the mailbox before the words that follow its address: they belong to another one. The comma is missing."""
        following = self.words[self.after_angle :]
        del self.words[self.after_angle :]
        self.flush()
        self.words, self.raw = following, list(following)

    def flush(self) -> None:
        name = _BLANKS.sub(" ", plain("".join(self.words))).strip()
        comment = _BLANKS.sub(" ", plain(self.comment)).strip()
        if self.angle:
            self._add(name or comment, _clean(self.angle))
        elif name:
            self._add_bare("".join(self.raw).strip(), name, comment)
        self.raw, self.words, self.comment, self.angle, self.after_angle = [], [], "", "", 0

    def _add_bare(self, raw: str, name: str, comment: str) -> None:
        bare = _BARE.search(raw) if "@" in raw and len(raw) <= 2000 else None
        if bare is not None and not comment and all(map(_BARE.fullmatch, words := raw.split())):
            # One address, or several without commas.
            for word in words:
                self._add("", _clean(word))
        elif bare is not None:
            rest = (raw[: bare.start()] + raw[bare.end() :]).strip(" '<>\"")
            self._add(comment or plain(rest), _clean(bare[0]))
        elif (obscured := _OBSCURED.fullmatch(raw)) is not None:
            self._add(comment, f"{obscured[1]}@{obscured[2]}")
        elif "=?" in raw and "=?" not in name and "@" in name:
            # Some mailers encode the address with the name.
            self.found += mailboxes(name)
        else:
            self._add(name if not comment else f"{name} ({comment})", "")

    def _add(self, name: str, address: str) -> None:
        name = name.strip("'\" ") if name[:1] in "'\"" and name[:1] == name[-1:] else name
        if name.lower() == address.lower():
            name = ""
        if name or address:
            self.found.append((name, address))


def _clean(address: str) -> str:
    """The address without route, scheme, surrounding quotes, and blanks from folding."""
    if "@" not in address and (obscured := _OBSCURED.fullmatch(address)) is not None:
        return f"{obscured[1]}@{obscured[2]}"
    if '"' not in address:
        address = _BLANKS.sub("", address)
    if address[:7].lower() == "mailto:":
        address = address[7:]
    if address.startswith("@") and ":" in address:
        address = address.rpartition(":")[2]
    return address.strip("'` ")


def _comment_end(text: str, start: int) -> int | None:
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, start):
        if mark[0] == "(":
            depth += 1
        elif mark[0] == ")":
            depth -= 1
            if depth == 0:
                return mark.end()
    return None
