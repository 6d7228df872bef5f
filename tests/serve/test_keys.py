import stat
from pathlib import Path

import pytest

from twofold.core.errors import ConfigError
from twofold.serve.keys import Key, Keyring, add_key, read_keys, remove_key


def test_only_hashes_are_kept_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    token = add_key(file, "shop", "read")
    assert token not in file.read_text()
    assert len(token) > 40
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = Keyring(read_keys(file)).find(token)
    assert found is not None
    assert (found.name, found.role) == ("shop", "read")
    assert Keyring(read_keys(file)).find(token + "x") is None
    assert Keyring(read_keys(file)).find("\ud800") is None


def test_keys_are_added_and_removed_by_name(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    add_key(file, "shop", "read")
    add_key(file, "till", "event")
    with pytest.raises(ConfigError, match="'shop' already"):
        add_key(file, "shop", "admin")
    remove_key(file, "shop")
    assert [key.name for key in read_keys(file)] == ["till"]
    with pytest.raises(ConfigError, match="no key 'shop'; known: till"):
        remove_key(file, "shop")


def test_wrong_files_and_options_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text('[{"name": "a", "role": "king", "sha256": ""}]')
    with pytest.raises(ConfigError, match="no file of keys"):
        read_keys(tmp_path / "wrong")
    (tmp_path / "wrong").write_text('[{"name": "a", "role": "read", "sha256": "é"}]', encoding="utf-8")
    with pytest.raises(ConfigError, match="no file of keys"):
        read_keys(tmp_path / "wrong")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_keys(tmp_path / "missing")
    for role, rate in [("king", 1.0), ("read", 0.0), ("read", float("nan"))]:
        with pytest.raises(ConfigError, match="wants a name"):
            add_key(tmp_path / "keys", "a", role, rate)


def test_a_key_may_ask_at_its_rate_and_twice_that_in_a_burst() -> None:
    now = 0.0
    key = Key(name="a", role="read", sha256="", rate=4.0)
    ring = Keyring([key], share=0.5, clock=lambda: now)  # two a second in this process, four at once
    assert [ring.wait(key) for _ in range(5)] == [0, 0, 0, 0, 0.5]
    now = 0.5
    assert [ring.wait(key), ring.wait(key)] == [0, 0.5]
    now = 60.0
    assert [ring.wait(key) for _ in range(5)] == [0, 0, 0, 0, 0.5]


def test_even_the_slowest_key_may_ask_once_at_the_start() -> None:
    now = 0.0
    key = Key(name="a", role="read", sha256="", rate=0.001)
    ring = Keyring([key], clock=lambda: now)
    assert [ring.wait(key), ring.wait(key)] == [0, 1000]


def test_a_role_holds_those_below_it() -> None:
    keys = [Key(name=role, role=role, sha256="") for role in ("read", "event", "admin")]
    assert [[key.may(role) for role in ("read", "event", "admin")] for key in keys] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_keys_that_come_and_go_leave_the_others_as_they_were() -> None:
    now = 0.0
    stays, goes, comes = (Key(name=name, role="read", sha256=name * 64, rate=1.0) for name in "abc")
    ring = Keyring([stays, goes], clock=lambda: now)
    assert [ring.wait(key) for key in (stays, stays, goes)] == [0, 0, 0]
    ring.take([stays, comes])
    assert [ring.wait(stays), ring.wait(comes)] == [1, 0]
