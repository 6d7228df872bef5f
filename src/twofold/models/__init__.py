"""Recommenders that score from a history: popularity, neighbours, linear models, factors, transitions, sequences."""

from twofold.models.als import ALS, ALSConfig
from twofold.models.content import Content, ContentConfig
from twofold.models.ease import EASE, EASEConfig
from twofold.models.item_knn import ItemKNN, ItemKNNConfig
from twofold.models.popularity import Popularity, PopularityConfig
from twofold.models.recommender import LinearRecommender, Recommender
from twofold.models.sequential import Sequential, SequentialConfig
from twofold.models.sparse_ease import SparseEASE, SparseEASEConfig
from twofold.models.transitions import Transitions, TransitionsConfig
from twofold.models.two_tower import TwoTower, TwoTowerConfig

__all__ = [
    "ALS",
    "EASE",
    "ALSConfig",
    "Content",
    "ContentConfig",
    "EASEConfig",
    "ItemKNN",
    "ItemKNNConfig",
    "LinearRecommender",
    "Popularity",
    "PopularityConfig",
    "Recommender",
    "Sequential",
    "SequentialConfig",
    "SparseEASE",
    "SparseEASEConfig",
    "Transitions",
    "TransitionsConfig",
    "TwoTower",
    "TwoTowerConfig",
]
