"""Compress: one teacher becomes a ladder of smaller and faster ones, each measured."""

from twofold.flows.compress.report import render_page, write_ladder_report
from twofold.flows.compress.search import Compress, Outcome, compress
from twofold.flows.compress.subject import Body, Making, Subject
from twofold.flows.compress.text import Judged, TextData, TextSubject, text_data, text_subject

__all__ = [
    "Body",
    "Compress",
    "Judged",
    "Making",
    "Outcome",
    "Subject",
    "TextData",
    "TextSubject",
    "compress",
    "render_page",
    "text_data",
    "text_subject",
    "write_ladder_report",
]
