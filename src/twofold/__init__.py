"""Twofold: search and recommendation in one call."""

from twofold.core import Pipeline, Query, Slate

__all__ = ["Pipeline", "Query", "Slate"]
