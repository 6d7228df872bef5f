"""Every error that Twofold raises on purpose.

    TwofoldError
    ├── ConfigError (ValueError)     a recipe or an option is wrong
    ├── DataError (ValueError)       interactions, items or users cannot be read
    ├── QueryError (ValueError)      a query cannot be answered as it stands
    ├── LateError (TimeoutError)     an answer would come later than it is wanted
    ├── ArtifactError (OSError)      a fitted pipeline on disk is missing, altered or cannot be written
    ├── StoreError (OSError)         events cannot be written or read
    └── MissingExtraError (ImportError)   an optional dependency is not installed

A message is one sentence: what was wrong, where, and what to do about it. Programs that
embed Twofold catch `TwofoldError`; the command line prints its message and exits with 1.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "LateError",
    "MissingExtraError",
    "QueryError",
    "StoreError",
    "TwofoldError",
    "nearest",
    "needed_for",
]


class TwofoldError(Exception):
    """Base class of every error that Twofold raises on purpose."""


class ConfigError(TwofoldError, ValueError):
    """A recipe or an option has an unknown name or a value that cannot be used."""


class DataError(TwofoldError, ValueError):
    """Interactions, items or users cannot be read, or hold nothing usable."""


class QueryError(TwofoldError, ValueError):
    """A query asks for something that cannot be answered as it stands."""


class LateError(TwofoldError, TimeoutError):
    """An answer would come later than it is wanted, so that work on it was given up."""


class ArtifactError(TwofoldError, OSError):
    """A fitted pipeline on disk is missing, altered, of another format, or cannot be written."""


class StoreError(TwofoldError, OSError):
    """Events cannot be written to their store or read from it; what was not acknowledged was not stored."""


class MissingExtraError(TwofoldError, ImportError):
    """A feature needs a package that is not installed; the message names the command that cures it."""


@contextmanager
def needed_for(what: str, extra: str = "") -> Iterator[None]:
    """Say in one sentence which package is missing where an import inside fails.

    Args:
        what: what cannot be done without it.
        extra: the extra of Twofold that brings it; by default the package is installed by itself.

    Raises:
        MissingExtraError: a package is not installed.

    >>> with needed_for("telling the weather", "weather"):
    ...     import barometer
    Traceback (most recent call last):
    twofold.core.errors.MissingExtraError: telling the weather needs the package 'barometer'; install it with `pip
    install 'twofold[weather]'`.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ImportError as error:
        cure = f"'twofold[{extra}]'" if extra else error.name
        raise MissingExtraError(
            f"{what} needs the package {error.name!r}; install it with `pip install {cure}`."
        ) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a mistyped name: the nearest known one, or all of them.

    >>> nearest("regg", ["reg", "recency"])
    "did you mean 'reg'?"
    >>> nearest("zzz", ["reg", "recency"])
    'known: recency, reg.'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names) or 'none'}."
