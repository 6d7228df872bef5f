"""Finding items by their content: the lexical index."""

from twofold.retrieval.lexical import Lexical, LexicalConfig, Like

__all__ = ["Lexical", "LexicalConfig", "Like"]
