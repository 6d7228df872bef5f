"""Where an interrupted training leaves off: a folder for each thing that is trained."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["checkpoint_folder"]


def checkpoint_folder(root: str, about: Mapping[str, Any]) -> Path | None:
    """Return the folder within `root` that belongs to one training alone; None where `root` is empty.

    A recipe trains the same stage on several parts of the data, to choose weights and then for good. Each training
    has its own checkpoint, so that each goes on where it was.

    Args:
        root: the option of the stage.
        about: what the training is of, as plain values.
    """
    if not root:
        return None
    Path(root).mkdir(parents=True, exist_ok=True)
    return Path(root) / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
