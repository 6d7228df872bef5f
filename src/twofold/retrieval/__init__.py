"""Finding items by their content, and making one ranking out of what several retrievers find."""

from twofold.retrieval.dense import Dense, DenseConfig
from twofold.retrieval.fusion import Fusion, FusionConfig
from twofold.retrieval.lexical import Lexical, LexicalConfig, Like

__all__ = ["Dense", "DenseConfig", "Fusion", "FusionConfig", "Lexical", "LexicalConfig", "Like"]
