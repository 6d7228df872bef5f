"""What a generator goes on from, and how its texts are drawn. Free of torch, so that recipes are read without it."""

from dataclasses import dataclass

__all__ = ["Lesson", "Prompt", "Sampling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a model goes on from."""

    text: str
    """What it is about."""
    instruction: str
    """What to write."""
    opening: str = ""
    """How that begins; small models keep to the point only when they are set going."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A prompt and what should follow it, to learn from."""

    prompt: Prompt
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How texts are drawn."""

    samples: int = 5
    """Texts for each prompt."""
    tokens: int = 20
    """Tokens of a text, at most; it also ends with the line."""
    temperature: float = 1.0
    """Below 1 the likely becomes likelier; 0 always takes the likeliest token."""
    most_likely: int = 10
    """Among how many tokens each is drawn."""
    batch: int = 8
    """Prompts that are gone on from at once."""

    def __post_init__(self) -> None:
        if min(self.samples, self.tokens, self.most_likely, self.batch) < 1 or self.temperature < 0:
            raise ValueError("sampling wants samples, tokens, most_likely and batch >= 1, and temperature >= 0.")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("a temperature of 0 always writes the same; give a higher one, or samples = 1.")
