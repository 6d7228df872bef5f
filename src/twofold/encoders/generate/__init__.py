"""What language models write: queries that items answer, and reasons for recommendations, both checked."""

from twofold.encoders.generate.queries import Doc2Query, Doc2QueryConfig
from twofold.encoders.generate.sampling import Prompt, Sampling

__all__ = ["Doc2Query", "Doc2QueryConfig", "Prompt", "Sampling"]
