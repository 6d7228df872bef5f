"""Options as frozen dataclasses, read from TOML tables.

A config class is a frozen, keyword-only dataclass whose fields carry their types and
defaults. `build` turns a table into one; an unknown key, a missing key or a value of another
type is refused with the place and the nearest known name.
"""

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from twofold.core.errors import ConfigError, nearest

__all__ = ["build", "read_toml", "table"]

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file into a table.

    Raises:
        ConfigError: the file is missing, or is not valid TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no recipe at {path}; give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML ({error}); mend that line.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path.") from None


def build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Make a config of class `cls` from a table.

    Args:
        cls: a dataclass.
        values: the table, one key a field.
        where: the table's name in messages, such as `retrieve.ease`.

    Raises:
        ConfigError: a key is unknown or missing, or a value has another type or is out of range.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Config:
    ...     reg: float = 1.0
    >>> build(Config, {"reg": 3}, "retrieve.ease")
    Config(reg=3.0)
    >>> build(Config, {"rge": 3}, "retrieve.ease")
    Traceback (most recent call last):
    twofold.core.errors.ConfigError: [retrieve.ease] has no option 'rge'; did you mean 'reg'?
    """
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigError(f"[{where}] has no option {key!r}; {nearest(key, known)}")
    for name, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and name not in values:
            raise ConfigError(f"[{where}] needs a value for {name!r}; add it to the recipe.")
    converted = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"[{where}] {error}") from None


def table(config: Any) -> dict[str, Any]:
    """Return a config as a table that `build` reads back, without the fields that are None."""
    return {key: _plain(value) for key, value in asdict(config).items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return _convert_union(arguments, value, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{where} cannot be {value!r}; it is one of {', '.join(map(repr, arguments))}.")
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(arguments[1], inner, f"{where}.{key}") for key, inner in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], inner, where) for inner in value)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= sys.float_info.max else value
    if isinstance(hint, type) and type(value) is hint and value == value:  # noqa: PLR0124 - nan is no number
        return value
    raise ConfigError(f"{where} cannot be {value!r}; it wants {_spoken(hint)}.")


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in arguments:
        return None
    choices = [hint for hint in arguments if hint is not NoneType]
    for hint in choices:
        try:
            return _convert(hint, value, where)
        except ConfigError as error:
            last = error
    if len(choices) == 1:
        raise last
    raise ConfigError(f"{where} cannot be {value!r}; it wants {' or '.join(map(_spoken, choices))}.")


def _spoken(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    if hint in names:
        return names[hint]
    return {dict: "a table", tuple: "a list"}.get(get_origin(hint) or hint, "a table")
