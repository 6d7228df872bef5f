"""`reading`: folders with models of transformers, read in silence and with one kind of error. Only `fit` needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twofold.core.errors import ConfigError
from twofold.train.silence import silent

__all__ = ["PLAIN", "reading"]

PLAIN: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "attn_implementation": "eager"}
"""How weights are read: from the folder alone and never from a pickle; attention is written out, for the export."""


@contextmanager
def reading(name: str, kind: str) -> Iterator[Path]:
    """Yield the folder with a model, and keep what transformers says about it from the caller's terminal.

    Args:
        name: the folder, as the user gave it.
        kind: what the model shall be, such as "CLIP".

    Raises:
        ConfigError: there is no such folder, or what happens inside says that it cannot be read.
    """
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise ConfigError(f"there is no folder {name!r} with a {kind} model; give its path as `model`.")
    try:
        with silent():
            yield folder
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{name} cannot be read as a {kind} model ({reason}); it wants all its files, with weights as safetensors."
        ) from error
