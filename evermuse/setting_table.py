"""The table of settings: of each variable its type, default and meaning, and what is wrong with its value now.

A setting is declared once, where `evermuse.configuration` reads it through `evermuse.env`. The page on configuration, the check
at the start of each process and the tests of Compose and of the chart use this table.
"""

from typing import NamedTuple

from evermuse.server_urls import Unusable


class Setting(NamedTuple):
    """One variable. ``kind``: what a value must be. ``shown``: the text for a default that depends on other things.
    ``read_by``: the processes that use it.
    """

    name: str
    kind: str
    default: str
    help: str
    shown: str | None = None
    read_by: str = "all"


_settings: dict[str, Setting] = {}
_names: set[str] = set()
_faults: dict[str, str] = {}


def declare(setting: Setting) -> None:
    """Add a setting. The first declaration counts. A setting that is read again needs no description."""
    _names.add(setting.name)
    if setting.help:
        _settings.setdefault(setting.name, setting)


def note_read(name: str) -> None:
    """Something reads this variable, so its name is known."""
    _names.add(name)


def rows() -> tuple[Setting, ...]:
    """All settings, in the order of their declaration."""
    return tuple(_settings.values())


def names() -> frozenset[str]:
    """The names of all variables that are read or declared."""
    return frozenset(_names)


def refuse(name: str, line: str) -> None:
    """Note what is wrong with a variable and how to fix it. The line begins with the variable's name."""
    _faults.setdefault(name, line)


def faults() -> dict[str, str]:
    """What is wrong: one line for each variable."""
    return dict(_faults)


def value_fault(name: str, value: str, error: Unusable) -> str:
    """The line for a value that its reader refused. The value is never repeated, because it may be a secret."""
    return f"{name} ({shape(value)}) {error}"


def shape(value: str) -> str:
    """The length of a value and the kinds of its characters, such as "3 characters: letters"."""
    if not value:
        return "empty"
    kinds = {
        "letters": any(one.isalpha() for one in value),
        "digits": any(one.isdigit() for one in value),
        "spaces": any(one.isspace() for one in value),
        "others": any(not one.isalnum() and not one.isspace() for one in value),
    }
    found = " and ".join(kind for kind, is_there in kinds.items() if is_there)
    # Compose and systemd differ in whether they remove them.
    quoted = ", in quotation marks" if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else ""
    return f"{len(value)} character{'s' if len(value) > 1 else ''}: {found}{quoted}"
