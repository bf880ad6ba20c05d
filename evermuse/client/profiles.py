"""Addresses and keys by name, as `evermuse login` stores them: in a file of mode 0600, or the key in the system's keyring."""

import json
import os
import uuid
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

DEFAULT = "default"
URL, KEY, CONFIG = "EVERMUSE_URL", "EVERMUSE_API_KEY", "EVERMUSE_CONFIG"
_SERVICE = "evermuse"


class NoKey(Exception):
    """Neither the environment nor a profile has a server and a key."""


@dataclass(frozen=True, slots=True)
class Login:
    """The server and the key of a command."""

    url: str
    key: str


def directory() -> Path:
    """The user's directory for profiles and states."""
    return Path(os.environ.get(CONFIG) or typer.get_app_dir(_SERVICE))


def _file() -> Path:
    return directory() / "profiles.json"


def _load() -> dict[str, dict[str, str]]:
    try:
        found: dict[str, dict[str, str]] = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def save(name: str, login: Login) -> str:
    """Store a profile. Returns where the key is."""
    entry = {"url": login.url}
    place = "the system's keyring"
    if not _into_keyring(name, login.key):
        entry["key"] = login.key
        place = str(_file())
    profiles = _load() | {name: entry}
    directory().mkdir(parents=True, exist_ok=True)
    draft = _file().with_name(f".{uuid.uuid4().hex}")
    # Created with its final mode, so that other users can never read it.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(profiles, file, indent=2)
    draft.replace(_file())
    return place


def resolve(name: str | None, url: str | None) -> Login:
    """The login of a command: the named profile, else the environment, else the default profile. Raises NoKey."""
    stored = _stored(name or DEFAULT)
    if name is not None and stored is None:
        raise NoKey(f"there is no profile {name}: create it with evermuse login --profile {name}")
    environment = {} if name is not None else os.environ
    address = url or environment.get(URL) or (stored.url if stored else "")
    key = environment.get(KEY, "").strip() or (stored.key if stored else "")
    if not address or not key:
        raise NoKey(f"no server or no key: run evermuse login, or set {URL} and {KEY}")
    return Login(address, key)


def _stored(name: str) -> Login | None:
    entry = _load().get(name)
    if entry is None:
        return None
    return Login(entry["url"], entry.get("key") or _from_keyring(name))


def _keyring() -> Any:
    return import_module("keyring") if find_spec("keyring") is not None else None


def _into_keyring(name: str, key: str) -> bool:
    """Whether the system's keyring stored the key. A keyring without a backend raises many kinds of errors."""
    try:
        if (keyring := _keyring()) is None:
            return False
        keyring.set_password(_SERVICE, name, key)
        return bool(keyring.get_password(_SERVICE, name) == key)
    except Exception:
        return False


def _from_keyring(name: str) -> str:
    try:
        return str(_keyring().get_password(_SERVICE, name) or "")
    except Exception:
        return ""
