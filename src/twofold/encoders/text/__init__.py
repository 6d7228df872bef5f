"""Text encoders: pre-trained language models of the BERT, GPT and T5 families."""

from twofold.encoders.text.encoder import TextEncoder, TextEncoderConfig
from twofold.encoders.text.finetune import FineTune
from twofold.encoders.text.runtime import OnnxEncoder
from twofold.encoders.text.weights import find_model

__all__ = ["FineTune", "OnnxEncoder", "TextEncoder", "TextEncoderConfig", "find_model"]
