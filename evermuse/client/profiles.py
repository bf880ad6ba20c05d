"""Addresses and keys by name, as `evermuse login` stores them: in a file of mode 0600, or the key in the system's keyring."""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import typer

DEFAULT = "default"
URL, KEY, CONFIG = "EVERMUSE_URL", "EVERMUSE_API_KEY", "EVERMUSE_CONFIG"
_SERVICE = "evermuse"


class NoKey(Exception):
    """Neither the environment nor a profile has a server and a key. The text says what to do."""


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
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, dict[str, str]])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise NoKey(f"{_file()} cannot be read: {error}. Remove it, and run evermuse login again") from None


def save(name: str, login: Login) -> str:
    """Store a profile. Returns where the key is. Raises NoKey if the file of profiles cannot be read."""
    profiles = _load()
    entry = profiles[name] = {"url": login.url}
    place = "the system's keyring"
    if not _into_keyring(name, login.key):
        entry["key"] = login.key
        place = f"{_file()}, which only you can read"
    directory().mkdir(parents=True, exist_ok=True)
    draft = _file().with_name(f".{uuid.uuid4().hex}")
    # Created with its final mode, so that other users can never read it.
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(profiles, file, indent=2)
    draft.replace(_file())
    return place


def resolve(name: str | None, url: str | None) -> Login:
    """The login of a command: the named profile, else the environment, else the default profile. Raises NoKey."""
    name = name or None
    environment: Mapping[str, str] = {} if name is not None else os.environ
    address, key = url or environment.get(URL, ""), environment.get(KEY, "").strip()
    if not address or not key:
        entry = _load().get(name or DEFAULT)
        if entry is None and name is not None:
            raise NoKey(f"there is no profile {name}: create it with evermuse login --profile {name}")
        if entry is not None:
            address = address or entry.get("url", "")
            key = key or entry.get("key") or _key_in_keyring(name or DEFAULT)
    if not address or not key:
        raise NoKey(f"no server or no key: run evermuse login, or set {URL} and {KEY}")
    return Login(address, key)


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


def _key_in_keyring(name: str) -> str:
    try:
        if key := _keyring().get_password(_SERVICE, name):
            return str(key)
        reason = "has no such key"
    except Exception:
        reason = "is not available here"
    raise NoKey(
        f"the key of the profile {name} was stored in the system's keyring, which {reason}: "
        f"run evermuse login again, or set {URL} and {KEY}"
    )
