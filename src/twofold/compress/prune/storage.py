"""Sparse weights on disk: a bit for each weight says whether it is there, and only those that are there are kept.

A safetensors file. A tensor that takes less room so is kept as `bits/NAME`, uint8, the first weight in the highest
bit, and `values/NAME`; any other one as `dense/NAME`. The metadata tell format, shapes, tensors that share their
memory, and a sha256 of all that, without which a changed value could not be told from a true one. Free of torch.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from twofold.core.errors import ArtifactError, ConfigError

__all__ = ["Stored", "load_sparse", "save_sparse"]

FORMAT = "twofold-sparse-1"
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What sparse storage saved."""

    bytes: int
    """Of the file."""
    dense_bytes: int
    """Of the same weights written out, those that share memory once."""
    zeros: int
    """Weights that are zero."""
    weights: int
    """All weights."""


def save_sparse(weights: Mapping[str, Array], file: Path) -> Stored:
    """Write weights with their zeros left out, whole or not at all, and return what that saved.

    Of a torch module, give `{name: value.numpy() for name, value in module.state_dict().items()}`. A zero of
    negative sign comes back as plain zero.

    Args:
        weights: arrays by name; those that share memory, as tied weights do, are written once.
        file: what is there is replaced.

    Raises:
        ConfigError: a weight is NaN or infinite, and would only be found out in use.
        ArtifactError: the file cannot be written; what was there stays.
    """
    tensors: dict[str, Array] = {}
    shapes: dict[str, list[int]] = {}
    shared: dict[str, str] = {}
    owners: dict[tuple[Any, ...], str] = {}
    zeros = count = dense = 0
    for name, value in weights.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ConfigError(f"{name} holds NaN or infinite values and is not written; get other weights.")
        memory = (value.__array_interface__["data"][0], value.shape, value.strides, value.dtype)
        owner = owners.setdefault(memory, name) if value.size else name
        if owner != name:
            shared[name] = owner
            continue
        shapes[name] = list(value.shape)
        there = (value != 0).ravel()
        left = int(there.sum())
        zeros, count, dense = zeros + there.size - left, count + there.size, dense + value.nbytes
        if -(-there.size // 8) + left * value.itemsize < value.nbytes:
            tensors[f"bits/{name}"] = np.packbits(there)
            tensors[f"values/{name}"] = np.ascontiguousarray(value.ravel()[there])
        else:
            tensors[f"dense/{name}"] = np.ascontiguousarray(value)
    described = {"format": FORMAT, "shapes": json.dumps(shapes), "shared": json.dumps(shared)}
    _write(tensors, {**described, "sha256": _digest(tensors, described)}, file)
    return Stored(bytes=file.stat().st_size, dense_bytes=dense, zeros=zeros, weights=count)


def load_sparse(file: Path) -> dict[str, Array]:
    """Return the weights of a file that `save_sparse` wrote, zeros and all; those that shared memory share it again.

    Raises:
        ArtifactError: the file is missing, of another format, or damaged.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            described = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  it is no mapping
    except FileNotFoundError:
        raise ArtifactError(f"there is no file {file}; write it again.") from None
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}); write it again.") from None
    digest = described.pop("sha256", None)
    if described.get("format") != FORMAT:
        raise ArtifactError(f"{file} holds no sparse weights of the format {FORMAT}; write it again.")
    if digest != _digest(tensors, described):
        raise ArtifactError(f"{file} was altered; write it again.")
    try:
        weights = {name: _dense(name, shape, tensors) for name, shape in json.loads(described["shapes"]).items()}
        weights |= {name: weights[owner] for name, owner in json.loads(described["shared"]).items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{file} is damaged ({error!r}); write it again.") from None
    return weights


def _dense(name: str, shape: list[int], tensors: Mapping[str, Array]) -> Array:
    if f"dense/{name}" in tensors:
        return tensors[f"dense/{name}"].reshape(shape)
    values, size = tensors[f"values/{name}"], int(np.prod(shape))
    there = np.unpackbits(tensors[f"bits/{name}"], count=size).astype(bool)
    found = np.zeros(size, values.dtype)
    found[there] = values  # raises where there are not as many values as bits
    return found.reshape(shape)


def _digest(tensors: Mapping[str, Array], described: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(described), sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def _write(tensors: Mapping[str, Array], described: Mapping[str, str], file: Path) -> None:
    """Write beside the place, sync, and rename."""
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        os.close(handle)
        save_file(dict(tensors), temporary, metadata=dict(described))
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except (OSError, SafetensorError) as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ArtifactError(f"{file} cannot be written ({error}); check the folder and the disk.") from error
