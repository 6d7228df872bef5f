"""Data: read files and frames of any kind, clean them into a Dataset, split it, or simulate one."""

from twofold.data.cleaning import Cleaned, Cleaning, clean
from twofold.data.columns import ColumnMapping, guess_columns
from twofold.data.judgements import Judgements, dataset_of, read_beir, read_cranfield, read_scifact, read_trec
from twofold.data.movielens import MovieLens, read_movielens
from twofold.data.reading import read_and_clean, read_data, read_dataset
from twofold.data.report import CleaningReport
from twofold.data.searches import add_searches
from twofold.data.simulate import Simulation, simulate
from twofold.data.splitting import Cases, Split, protocol, split
from twofold.data.table import Table
from twofold.data.tabular import read_table

__all__ = [
    "Cases",
    "Cleaned",
    "Cleaning",
    "CleaningReport",
    "ColumnMapping",
    "Judgements",
    "MovieLens",
    "Simulation",
    "Split",
    "Table",
    "add_searches",
    "clean",
    "dataset_of",
    "guess_columns",
    "protocol",
    "read_and_clean",
    "read_beir",
    "read_cranfield",
    "read_data",
    "read_dataset",
    "read_movielens",
    "read_scifact",
    "read_table",
    "read_trec",
    "simulate",
    "split",
]
