"""`silent`: what transformers would print stays out of the caller's terminal."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import transformers

__all__ = ["silent"]


@contextmanager
def silent() -> Iterator[None]:
    """Keep transformers' progress bars and everyone's warnings out of the caller's terminal."""
    logging: Any = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
