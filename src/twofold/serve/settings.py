"""`Settings`: how a server runs."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from twofold.core.errors import ConfigError

__all__ = ["Settings"]

LARGEST_MB = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options of `twofold serve`.

    Raises:
        ConfigError: an option is out of range, or other machines could reach a server that asks for no key.
    """

    artifact: Path
    """A fitted pipeline, or the link that `twofold promote` sets."""
    events: Path
    """The file of the event store; made if it is missing."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0 takes a free one."""
    workers: int = 1
    """Processes that answer, at least."""
    most_workers: int = 1
    """And at most, as load asks for."""
    keys: Path | None = None
    """The file of API keys; without one, anybody on this machine may do anything, and nobody else can connect."""
    origins: tuple[str, ...] = ()
    """Web pages of which origins may call, as https://shop.example; none unless named."""
    largest_body: int = 2_000_000
    """Bytes of a request."""
    body_seconds: float = 10.0
    """How long a request may take to arrive."""
    together: int = 32
    """Questions that are answered in one go at most."""
    waiting: int = 500
    """Questions of one priority that may wait; further ones are refused."""
    interactive_ms: float = 100.0
    """By when an interactive question is to be answered, where it names no deadline."""
    standard_ms: float = 2_000.0
    """The same for a standard one."""
    batch_ms: float = 60_000.0
    """The same for one of a batch."""
    ladder: Path | None = None
    """The folder of a ladder; by default the artifact's own or `ladder` beside it, if there is one; see `ladder_of`."""
    quality_floor: float = 0.9
    """The share of the top rung's quality below which no rung answers."""
    cached_vectors: int = 10_000
    """Search texts whose vectors are kept."""
    slates_mb: float = 32.0
    """Megabytes of slates that are kept, each for as long as it is what would be answered anew; 0 keeps none."""
    log_slates: bool = False
    """Whether every slate is logged, and not only those that are part of an experiment."""
    follow_seconds: float = 0.02
    """How often the event store is asked whether other workers wrote something."""

    def __post_init__(self) -> None:
        if not (0 <= self.port <= 65_535 and 1 <= self.workers <= self.most_workers <= 256):
            raise ConfigError(
                "the port must be 0 to 65535, and the workers 1 to 256 and no more than at most; mend that."
            )
        if min(self.largest_body, self.together, self.waiting) < 1 or min(self.body_seconds, self.follow_seconds) <= 0:
            raise ConfigError("bounds of a server must be above 0; raise them.")
        if min(self.interactive_ms, self.standard_ms, self.batch_ms) <= 0 or self.cached_vectors < 1:
            raise ConfigError("deadlines and the number of kept vectors must be above 0; raise them.")
        if not 0 <= self.slates_mb <= LARGEST_MB:
            raise ConfigError(f"slates take 0 to {LARGEST_MB:,} megabytes, not {self.slates_mb:g}; mend that.")
        if not 0 <= self.quality_floor <= 1:
            raise ConfigError(f"the quality floor is a share of 0 to 1, not {self.quality_floor}; mend it.")
        if any("*" in origin or not origin.startswith(("https://", "http://")) for origin in self.origins):
            raise ConfigError("an origin is https:// or http:// and a host, without *; name each page's.")
        if self.keys is None and not is_loopback(self.host):
            raise ConfigError(
                f"without API keys {self.host} would let anybody in; make a key with `twofold keys add` and "
                "give --keys, or use --host 127.0.0.1."
            )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine alone.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
