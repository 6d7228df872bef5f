"""The eight nouns of Twofold, the errors, and how options are read. Depends on numpy and polars only."""

from twofold.core.artifact import Artifact
from twofold.core.dataset import Dataset
from twofold.core.event import Event
from twofold.core.history import Histories
from twofold.core.ids import Id, IdMap
from twofold.core.ladder import Ladder, Rung, Setting
from twofold.core.pipeline import Pipeline
from twofold.core.query import Batch, Evidence, Query
from twofold.core.recipe import Recipe, Weights
from twofold.core.scores import Candidates, DenseScores, Scores, SparseScores
from twofold.core.slate import Pick, Slate
from twofold.core.stage import Encoder, Expander, Fuser, Modality, Progress, Ranker, Retriever, Stage

__all__ = [
    "Artifact",
    "Batch",
    "Candidates",
    "Dataset",
    "DenseScores",
    "Encoder",
    "Event",
    "Evidence",
    "Expander",
    "Fuser",
    "Histories",
    "Id",
    "IdMap",
    "Ladder",
    "Modality",
    "Pick",
    "Pipeline",
    "Progress",
    "Query",
    "Ranker",
    "Recipe",
    "Retriever",
    "Rung",
    "Scores",
    "Setting",
    "Slate",
    "SparseScores",
    "Stage",
    "Weights",
]
