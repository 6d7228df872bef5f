"""Rankers: stages that look closer at the best candidates and order them anew."""

from twofold.ranking.cross_encoder import CrossEncoder, CrossEncoderConfig

__all__ = ["CrossEncoder", "CrossEncoderConfig"]
