"""Compress: one teacher becomes a ladder of smaller and faster ones, each measured."""

from twofold.flows.compress.adopting import adopt_rung
from twofold.flows.compress.finishing import Outcome
from twofold.flows.compress.image import ImageSubject
from twofold.flows.compress.options import Compress
from twofold.flows.compress.pairs import PairSubject
from twofold.flows.compress.report import render_page, write_ladder_report
from twofold.flows.compress.search import compress
from twofold.flows.compress.sequential import SequentialSubject
from twofold.flows.compress.stages import stage_subject
from twofold.flows.compress.subject import Body, Making, Subject
from twofold.flows.compress.text import Judged, TextData, TextSubject, text_data, text_subject

__all__ = [
    "Body",
    "Compress",
    "ImageSubject",
    "Judged",
    "Making",
    "Outcome",
    "PairSubject",
    "SequentialSubject",
    "Subject",
    "TextData",
    "TextSubject",
    "adopt_rung",
    "compress",
    "render_page",
    "stage_subject",
    "text_data",
    "text_subject",
    "write_ladder_report",
]
