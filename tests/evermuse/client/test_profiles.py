"""Where `evermuse login` stores keys, and what commands say if a key cannot be found."""

import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from evermuse.client import Client, profiles
from evermuse.client.profiles import Login, NoKey


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of profiles, on a system without a keyring."""
    for name in (profiles.URL, profiles.KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(profiles.CONFIG, str(tmp_path / "config"))
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(profiles, "find_spec", lambda name: None)
    return tmp_path / "config"


def use_keyring(monkeypatch: pytest.MonkeyPatch, keyring: object) -> None:
    monkeypatch.setattr(profiles, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "keyring", keyring)


def memory() -> SimpleNamespace:
    keys: dict[tuple[str, str], str] = {}
    return SimpleNamespace(
        set_password=lambda service, name, key: keys.__setitem__((service, name), key),
        get_password=lambda service, name: keys.get((service, name)),
    )


def test_key_is_in_a_file_for_its_owner_alone_where_there_is_no_keyring(directory: Path) -> None:
    place = profiles.save("work", Login("http://one", "secret"))
    file = directory / "profiles.json"
    assert str(file) in place and "only you can read" in place
    assert sys.platform == "win32" or stat.S_IMODE(file.stat().st_mode) == 0o600
    assert profiles.resolve("work", None) == Login("http://one", "secret")


def test_keyring_without_a_backend_counts_as_none(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: str) -> None:
        raise RuntimeError("No recommended backend was available")

    use_keyring(monkeypatch, SimpleNamespace(set_password=refuse, get_password=refuse))
    profiles.save("work", Login("http://one", "secret"))
    assert profiles.resolve("work", None).key == "secret"


def test_key_in_the_keyring_is_not_in_the_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_keyring(monkeypatch, memory())
    assert profiles.save("work", Login("http://one", "secret")) == "the system's keyring"
    assert "secret" not in (directory / "profiles.json").read_text()
    assert profiles.resolve("work", None) == Login("http://one", "secret")


def test_missing_keyring_is_named_with_the_way_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_keyring(monkeypatch, memory())
    profiles.save(profiles.DEFAULT, Login("http://one", "secret"))
    use_keyring(monkeypatch, memory())
    with pytest.raises(NoKey, match=r"keyring, which has no such key: run evermuse login again, or set EVERMUSE_URL"):
        profiles.resolve(None, None)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(NoKey, match="not available here"):
        profiles.resolve(None, None)
    monkeypatch.setenv(profiles.KEY, "from-the-environment")
    assert profiles.resolve(None, None) == Login("http://one", "from-the-environment")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"default": "x"}', b'{"default": {"url": 1}}', b"\xff"])
def test_broken_file_of_profiles_is_named_and_does_not_stop_the_environment(
    directory: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    directory.mkdir()
    (directory / "profiles.json").write_bytes(content)
    with pytest.raises(NoKey, match=r"profiles\.json cannot be read"):
        profiles.resolve(None, None)
    with pytest.raises(NoKey, match=r"profiles\.json cannot be read"):
        profiles.save("work", Login("http://one", "secret"))
    monkeypatch.setenv(profiles.URL, "http://two")
    monkeypatch.setenv(profiles.KEY, "secret")
    assert profiles.resolve(None, None) == Login("http://two", "secret")


def test_profile_without_a_name_is_the_default_one(tmp_path: Path) -> None:
    profiles.save(profiles.DEFAULT, Login("http://one", "secret"))
    assert profiles.resolve("", None) == Login("http://one", "secret")


def test_key_that_is_no_text_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="copy it again") as caught:
        Client("http://one", "em_sk_\udcff")
    assert "em_sk" not in str(caught.value)
