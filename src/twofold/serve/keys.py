"""API keys: who may do what, and how often. A key is known by its hash alone.

A key is 256 random bits, so a plain SHA-256 of it cannot be guessed back, and no slow hash is needed.
"""

import hashlib
import hmac
import math
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from twofold.core.errors import ConfigError

__all__ = ["Key", "Keyring", "Role", "add_key", "read_keys", "remove_key"]

Role = Literal["read", "event", "admin"]
"""`read` asks; `event` also reports what people do; `admin` also changes items and users, and reads the metrics."""
ROLES: tuple[Role, ...] = get_args(Role)


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One API key, as a file keeps it."""

    name: str
    role: Role
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    rate: float = 50.0
    """Requests a second; for a second or two it may be twice as many."""

    def may(self, role: Role) -> bool:
        """Return whether the key may do what a role may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Keyring:
    """The keys of a server; each has a bucket that fills with its rate and is emptied by its requests.

    Args:
        keys: all keys.
        share: the part of each key's rate that is this process's; it may be set anew.
        clock: seconds that only rise.
    """

    def __init__(self, keys: Sequence[Key], *, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.share, self._clock = share, clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self.take(keys)

    def take(self, keys: Sequence[Key]) -> None:
        """Let other keys count from now on; what one that stays has used up stays used up."""
        now = self._clock()
        self._buckets = {key.name: self._buckets.get(key.name, (self._most(key), now)) for key in keys}
        self._keys = tuple(keys)

    def find(self, token: str) -> Key | None:
        """Return the key of a token; every key is compared, each in the same time."""
        digest, found = _digest(token), None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def wait(self, key: Key) -> float:
        """Count a request, and return how many seconds too early it is; 0 where it may go on."""
        rate = key.rate * self.share
        now = self._clock()
        left, since = self._buckets.get(key.name, (self._most(key), now))
        left = min(left + (now - since) * rate, self._most(key))
        if left < 1:
            self._buckets[key.name] = (left, now)
            return (1 - left) / rate
        self._buckets[key.name] = (left - 1, now)
        return 0.0

    def _most(self, key: Key) -> float:
        """Return what a bucket holds: two seconds' worth, and one request at least."""
        return max(2 * key.rate * self.share, 1.0)


def read_keys(path: Path) -> list[Key]:
    """Read the keys of a file.

    Raises:
        ConfigError: it is missing, or holds no keys.
    """
    try:
        keys = msgspec.json.decode(path.read_bytes(), type=list[Key])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); make keys with `twofold keys add`.") from None
    except (msgspec.MsgspecError, UnicodeError):  # what they say of the file may be a key, and this may be logged
        raise ConfigError(f"{path} is no file of keys; make keys with `twofold keys add`.") from None
    if any(key.rate <= 0 for key in keys):
        raise ConfigError(f"{path} has a key whose rate is not above 0; mend it.")
    return keys


def add_key(path: Path, name: str, role: str, rate: float = 50.0) -> str:
    """Make a key, put its hash into a file, and return the key, which is shown nowhere else.

    Raises:
        ConfigError: there is a key of that name, or an option is out of range.
    """
    if role not in ROLES or not (0 < rate < math.inf) or not name:
        raise ConfigError(f"a key wants a name, a role ({', '.join(ROLES)}) and a rate above 0; mend that.")
    keys = read_keys(path) if path.exists() else []
    if any(key.name == name for key in keys):
        raise ConfigError(f"there is a key {name!r} already; remove it first, or give another name.")
    token = f"tf_{secrets.token_urlsafe(32)}"
    _write(path, [*keys, Key(name=name, role=role, sha256=_digest(token), rate=rate)])
    return token


def remove_key(path: Path, name: str) -> None:
    """Take a key out of a file; servers that run forget it within a second.

    Raises:
        ConfigError: there is no such key.
    """
    keys = read_keys(path)
    if all(key.name != name for key in keys):
        raise ConfigError(f"there is no key {name!r}; known: {', '.join(key.name for key in keys) or 'none'}.")
    _write(path, [key for key in keys if key.name != name])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _write(path: Path, keys: Sequence[Key]) -> None:
    """Put a file in the place of another at once; only its owner may read it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=2))
        file.flush()
        os.fsync(handle)
    Path(temporary).replace(path)
