"""What people did into signed feedback: above 0 a like, below 0 a dislike."""

from collections.abc import Mapping

import polars as pl

from twofold.core.errors import DataError

__all__ = ["EVENT_VALUES", "rating_scale", "signed_ratings", "values_of_events"]

SCALES = (1.0, 5.0, 10.0, 100.0)
"""Where the usual scales end; what was seen is taken for the next of them."""
NEUTRAL = 0.6
EVENT_VALUES: dict[str, float] = {
    "impression": 0.0,
    "view": 0.3,
    "pageview": 0.3,
    "pv": 0.3,
    "detail": 0.3,
    "open": 0.3,
    "click": 0.5,
    "play": 0.5,
    "listen": 0.5,
    "watch": 0.5,
    "read": 0.5,
    "download": 0.7,
    "share": 0.7,
    "save": 0.7,
    "bookmark": 0.7,
    "wishlist": 0.7,
    "fav": 0.7,
    "favorite": 0.7,
    "favourite": 0.7,
    "cart": 0.7,
    "addtocart": 0.7,
    "like": 1.0,
    "buy": 1.0,
    "purchase": 1.0,
    "order": 1.0,
    "transaction": 1.0,
    "booking": 1.0,
    "removefromcart": -0.3,
    "skip": -0.3,
    "dismiss": 0.0,
    "hide": -1.0,
    "dislike": -1.0,
    "return": -1.0,
    "refund": -1.0,
}
"""What each kind of event is worth; names are compared without case and separators."""


def rating_scale(ratings: pl.Series, neutral: float | None, highest: float | None) -> tuple[float, float]:
    """Return which rating is neutral and which is the highest.

    The stated rule: the highest is where the usual scale ends that holds all ratings seen (1, 5, 10 or
    100); neutral is six tenths of it (3 of 5 stars, 6 of 10), or 0 where ratings go below 0.
    """
    least, most = float(ratings.min() or 0.0), float(ratings.max() or 0.0)  # type: ignore[arg-type]
    most = max(abs(least), most) if least < 0 else most
    if highest is None:
        highest = next((end for end in SCALES if most <= end), most)
    if neutral is None:
        neutral = 0.0 if least < 0 else round(NEUTRAL * highest, 9)
    if neutral >= highest:
        raise DataError(f"the neutral rating {neutral} is not below the highest, {highest}; set one of them in [data].")
    return neutral, highest


def signed_ratings(ratings: pl.Series, neutral: float, highest: float) -> pl.Series:
    """Return (rating - neutral) / (highest - neutral), held within [-1, 1].

    >>> signed_ratings(pl.Series([0.5, 2.5, 3.0, 3.5, 5.0]), 3.0, 5.0).to_list()
    [-1.0, -0.25, 0.0, 0.25, 1.0]
    """
    values = (ratings.cast(pl.Float32) - neutral) / (highest - neutral)
    return values.round(6).clip(-1.0, 1.0)  # the rounding of single precision must not show at 1


def values_of_events(events: pl.Series, given: Mapping[str, float]) -> pl.Series:
    """Return what each event is worth, null where its kind is unknown; `given` is laid over the defaults.

    >>> values_of_events(pl.Series(["Click", "pur-chase", "yawn"]), {"yawn": -0.5}).to_list()
    [0.5, 1.0, -0.5]
    """
    table = {**EVENT_VALUES, **{_plain(kind): value for kind, value in given.items()}}
    kinds = events.cast(pl.String).unique()
    worth = {kind: table.get(_plain(kind)) for kind in kinds if kind is not None}
    return events.cast(pl.String).replace_strict(worth, default=None, return_dtype=pl.Float32)


def _plain(kind: str) -> str:
    return "".join(letter for letter in kind.lower() if letter.isalnum())
