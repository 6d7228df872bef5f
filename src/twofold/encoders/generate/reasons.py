"""Reasons: one sentence on why an item is recommended, written by a model and checked, or else by a template."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twofold.encoders.generate.grounding import Checker, Evidence
from twofold.encoders.generate.sampling import Prompt, Sampling
from twofold.encoders.generate.words import COMMON

__all__ = ["Case", "Described", "Draft", "Writer", "draft", "template"]

INSTRUCTION = "Write one short sentence that says why the new title suits someone who liked the others."
SNIPPET = 160
"""Characters of an item's text that the model reads, and that count as evidence."""
SHARED = 3
"""Categories that a template names, at most."""
READ = 160
"""Tokens of all descriptions together that the model reads."""
FEWEST = 3
"""Words that a model must add to the opening."""
END = re.compile(r"(?<=[.!?])\s")


class Writer(Protocol):
    """What writes sentences, such as `Generator`."""

    def write(self, prompts: Sequence[Prompt], sampling: Sampling, *, longest: int, seed: int) -> list[list[str]]:
        """Return `samples` lines for each prompt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the catalogue says of an item."""

    title: str
    categories: tuple[str, ...] = ()
    text: str = ""

    @property
    def snippet(self) -> str:
        """The beginning of its text, on one line."""
        return " ".join(self.text.split())[:SNIPPET]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An item, and what it is recommended for."""

    item: Described
    cited: Sequence[Described]
    """At least one."""
    because: str = "Because you liked"
    """What a sentence begins with; the titles of the cited items follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A sentence, and whether a model wrote it."""

    text: str
    by_model: bool


def draft(
    cases: Sequence[Case],
    checker: Checker,
    writer: Writer | None = None,
    sampling: Sampling | None = None,
    *,
    seed: int = 0,
) -> list[Draft]:
    """Return one sentence for each case.

    The first sample of the writer that the checker finds nothing wrong with is taken; where there is none, or no
    writer, the template is. So a sentence names no title but those of its own case.

    Args:
        cases: what is to be explained.
        checker: knows the titles of the whole catalogue.
        writer: who writes; None for the template alone.
        sampling: how it draws; by default 4 samples of 32 tokens.
        seed: of the draws.
    """
    sampling = sampling or Sampling(samples=4, tokens=32, temperature=0.7, most_likely=20)
    prompts = [_prompt(case) for case in cases]
    written = writer.write(prompts, sampling, longest=READ, seed=seed) if writer and prompts else [[]] * len(prompts)
    drafts = []
    for case, prompt, lines in zip(cases, prompts, written, strict=True):
        evidence = _evidence(case)
        said = [line.removeprefix(prompt.opening).split() for line in lines]
        sentences = [_sentence(" ".join((prompt.opening, *words))) for words in said if len(words) >= FEWEST]
        text = next((text for text in sentences if checker.fault(text, evidence) is None), None)
        drafts.append(Draft(text=text or template(case), by_model=text is not None))
    return drafts


def template(case: Case) -> str:
    """Return a sentence that says only what the catalogue says.

    >>> heat = Described(title="Heat", categories=("Crime", "Drama"))
    >>> ronin = Described(title="Ronin", categories=("Crime",))
    >>> template(Case(item=heat, cited=[ronin]))
    'Because you liked Ronin: both are Crime.'
    >>> template(Case(item=heat, cited=[ronin, Described(title="Up")]))
    'Because you liked Ronin and Up: like Ronin, it is Crime.'
    >>> template(Case(item=heat, cited=[Described(title="Up")], because="Because you asked about"))
    'Because you asked about Up.'
    """
    item, cited = case.item, case.cited
    because = f"{case.because} {spoken([other.title for other in cited])}"
    common = [name for name in item.categories if all(name in other.categories for other in cited)]
    if common:
        return f"{because}: {'both' if len(cited) == 1 else 'all'} are {spoken(common[:SHARED])}."
    for other in cited:
        common = [name for name in item.categories if name in other.categories]
        if common:
            return f"{because}: like {other.title}, it is {spoken(common[:SHARED])}."
    for other in cited:
        words = _telling(other.snippet)
        common = [word for word in _telling(item.snippet) if word in words]
        if common:
            return f"{because}: {other.title} is about {spoken(common[:SHARED])}, too."
    return f"{because}."


def _telling(text: str) -> list[str]:
    """Return the long words of a text that are written small and are not common, each once."""
    words = re.findall(r"[^\W\d_]+", text)
    return list(dict.fromkeys(word for word in words if len(word) > 3 and word.islower() and word not in COMMON))


def spoken(names: Sequence[str]) -> str:
    """Return a list as people say it.

    >>> spoken(["A"]), spoken(["A", "B"]), spoken(["A", "B", "C"])
    ('A', 'A and B', 'A, B and C')
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _prompt(case: Case) -> Prompt:
    described = [f"Liked: {_about(other)}" for other in case.cited] + [f"New: {_about(case.item)}"]
    opening = f"{case.because} {spoken([other.title for other in case.cited])},"
    return Prompt(text="\n".join(described), instruction=INSTRUCTION, opening=opening)


def _about(item: Described) -> str:
    categories = f" ({', '.join(item.categories)})" if item.categories else ""
    return f"{item.title}{categories}{'. ' if item.snippet else ''}{item.snippet}"


def _evidence(case: Case) -> Evidence:
    items = (case.item, *case.cited)
    return Evidence(
        titles=[one.title for one in items],
        categories=[name for one in items for name in one.categories],
        text=" ".join(one.snippet for one in items),
    )


def _sentence(text: str) -> str:
    """Return the first sentence of a text, with an end."""
    text = END.split(" ".join(text.split()), maxsplit=1)[0].strip()
    return text if text.endswith((".", "!", "?")) else f"{text.rstrip(',;: ')}."
