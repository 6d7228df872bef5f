"""`Generator`: a language model of the GPT or the T5 family that writes short texts. Needs torch and transformers."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from twofold.core.errors import ConfigError
from twofold.encoders.generate.sampling import Prompt, Sampling
from twofold.encoders.text.weights import find_model
from twofold.train.silence import silent

__all__ = ["Generator"]


class Generator:
    """A pre-trained model that goes on with a prompt.

    A decoder (GPT, Llama, …) reads the prompt once, whatever the number of samples: what it remembers of the
    prompt is copied, not computed anew. Prompts of a batch are padded on the left, so that all end together. An
    encoder-decoder (T5, …) reads the prompt with its encoder.

    Args:
        module: a model of transformers that can `generate`.
        tokenizer: its tokenizer.
    """

    def __init__(self, module: Any, tokenizer: Any) -> None:
        self.module, self.tokenizer = module.eval(), tokenizer
        self.seq2seq = bool(module.config.is_encoder_decoder)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right" if self.seq2seq else "left"
        self._spares_logits = "logits_to_keep" in signature(module.forward).parameters
        self._stops = self._line_ends()

    @classmethod
    def load(cls, model: str) -> "Generator":
        """Load a model in float32, on a GPU where there is one.

        Args:
            model: a short name such as `smollm2`, a folder, or a hub name; see `find_model`.

        Raises:
            ConfigError: there is no such model, or it writes no texts.
            MissingExtraError: the package that carries it is not installed.
        """
        folder = find_model(model)
        with silent():
            config = AutoConfig.from_pretrained(folder)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            try:
                module: Any = kind.from_pretrained(folder, config=config, dtype=torch.float32, use_safetensors=True)
            except (OSError, ValueError) as error:
                reason = str(error).strip().partition("\n")[0]
                raise ConfigError(f"the model {model!r} writes no texts ({reason}); name a GPT or T5 model.") from None
            tokenizer = AutoTokenizer.from_pretrained(folder)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(module.to(device), tokenizer)

    def write(self, prompts: Sequence[Prompt], sampling: Sampling, *, longest: int, seed: int) -> list[list[str]]:
        """Return `samples` texts for each prompt, each a stripped line; the same seed gives the same texts.

        Args:
            prompts: what to go on from.
            sampling: how to draw.
            longest: tokens of a prompt's text that are read; the rest is cut off.
            seed: of the draws.
        """
        texts = [self.composed(prompt, longest) for prompt in prompts]
        order = np.argsort([len(text) for text in texts], kind="stable")  # alike lengths need little padding
        written: list[list[str]] = [[] for _ in texts]
        for start in range(0, len(order), sampling.batch):
            rows = order[start : start + sampling.batch].tolist()
            for row, found in zip(rows, self._batch([texts[row] for row in rows], sampling, seed + start), strict=True):
                written[row] = found
        return written

    def write_until(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        longest: int,
        seed: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> Iterator[tuple[int, list[list[str]]]]:
        """Write for prompts in their order, some batches at a time, until the time is over.

        Yields:
            How many prompts are done before these, and the texts for these. It stops before a part that would,
            at the pace so far, end late; the first part is always written.
        """
        size, begun = 4 * sampling.batch, clock()
        slowest = 0.0
        for start in range(0, len(prompts), size):
            last = clock()
            if start and last - begun + slowest > seconds:
                return
            yield start, self.write(prompts[start : start + size], sampling, longest=longest, seed=seed + start)
            slowest = max(slowest, clock() - last)

    def composed(self, prompt: Prompt, longest: int) -> str:
        """Return what the model reads: a conversation where it was taught to have one, else plain text."""
        text = self.shortened(prompt.text, longest)
        if self.seq2seq:
            return f"{prompt.instruction}: {text}"
        if not self.tokenizer.chat_template:
            return f"{text}\n\n{prompt.instruction}: {prompt.opening}".rstrip()
        said = [{"role": "system", "content": prompt.instruction}, {"role": "user", "content": text}]
        return f"{self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)}{prompt.opening}"

    def read(self, text: str) -> list[int]:
        """Return the tokens of what `composed` returns."""
        return list(self.tokenizer(text, add_special_tokens=self._framed)["input_ids"])

    @property
    def _framed(self) -> bool:
        """Whether the tokenizer adds the marks of begin and end, which a conversation brings itself."""
        return self.seq2seq or not self.tokenizer.chat_template

    def shortened(self, text: str, longest: int) -> str:
        """Return the beginning of a text, of at most `longest` tokens."""
        text = " ".join(text[: 20 * longest].split())
        codes = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return text if len(codes) <= longest else str(self.tokenizer.decode(codes[:longest], skip_special_tokens=True))

    def _batch(self, texts: Sequence[str], sampling: Sampling, seed: int) -> list[list[str]]:
        """Return the samples for one batch of whole prompts."""
        read = self.tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=self._framed)
        codes, mask = (read[name].to(self.module.device) for name in ("input_ids", "attention_mask"))
        options: dict[str, Any] = {
            "do_sample": sampling.temperature > 0,
            "max_new_tokens": sampling.tokens,
            "eos_token_id": self._stops,
            "pad_token_id": self.tokenizer.pad_token_id,
        }
        if sampling.temperature > 0:
            options |= {"temperature": sampling.temperature, "top_k": sampling.most_likely, "top_p": 1.0}
        with torch.inference_mode(), _seeded(seed):
            if self.seq2seq:
                found = self.module.generate(
                    codes, attention_mask=mask, num_return_sequences=sampling.samples, **options
                )
            else:
                found = self._go_on(codes, mask, sampling.samples, options)
        lines = [self._line(text) for text in self.tokenizer.batch_decode(found, skip_special_tokens=True)]
        return [lines[start : start + sampling.samples] for start in range(0, len(lines), sampling.samples)]

    def _go_on(self, codes: torch.Tensor, mask: torch.Tensor, samples: int, options: dict[str, Any]) -> Any:
        """Read prompts [b, t] once, and return b × samples continuations of a decoder."""
        places = (mask.cumsum(1) - 1).clamp(min=0)
        state = self.module(
            codes[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=places[:, :-1],
            use_cache=True,
            **({"logits_to_keep": 1} if self._spares_logits else {}),
        )
        name = "cache" if "cache" in state else "past_key_values"  # as it was called until transformers 5.20 or so
        state[name].batch_repeat_interleave(samples)
        codes, mask = codes.repeat_interleave(samples, 0), mask.repeat_interleave(samples, 0)
        found = self.module.generate(codes, attention_mask=mask, **{name: state[name]}, **options)
        return found[:, codes.shape[1] :]

    def _line(self, text: str) -> str:
        lines = text.strip().splitlines()
        return lines[0].strip() if lines else ""

    def _line_ends(self) -> list[int]:
        """Return the codes of the tokens after which a text has ended: the model's own, and line breaks."""
        own = self.module.generation_config.eos_token_id
        ends = {self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        breaks = self.tokenizer("a\nb\n\nc", add_special_tokens=False)["input_ids"]
        ends |= {code for code in breaks if not self.tokenizer.decode([code]).strip(" ").strip("\n")}
        return sorted(ends - set(self.tokenizer("a b", add_special_tokens=False)["input_ids"]))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from a seed inside; the caller's random state stays as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
