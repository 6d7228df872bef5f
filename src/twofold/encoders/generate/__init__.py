"""What language models write: queries that items answer, and reasons for recommendations, both checked."""

from twofold.encoders.generate.grounding import Checker, Evidence
from twofold.encoders.generate.queries import Doc2Query, Doc2QueryConfig
from twofold.encoders.generate.reasons import Case, Described, Draft, Writer, draft, template
from twofold.encoders.generate.sampling import Prompt, Sampling

__all__ = [
    "Case",
    "Checker",
    "Described",
    "Doc2Query",
    "Doc2QueryConfig",
    "Draft",
    "Evidence",
    "Prompt",
    "Sampling",
    "Writer",
    "draft",
    "template",
]
