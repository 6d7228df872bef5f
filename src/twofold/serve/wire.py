"""What goes over the wire: requests, with the bounds of every field, and answers. Nothing unknown is let through."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from twofold.core.slate import Slate

__all__ = [
    "About",
    "Accepted",
    "Arm",
    "ArmFigures",
    "Batch",
    "Candidate",
    "Candidates",
    "Catalogue",
    "Column",
    "Count",
    "Counted",
    "Experiments",
    "Explain",
    "Explanation",
    "Facet",
    "Facets",
    "Feedback",
    "Figures",
    "FindUsers",
    "Health",
    "Interval",
    "Item",
    "ItemPatch",
    "Kind",
    "Ladder",
    "Problem",
    "Promote",
    "Promoted",
    "Recommend",
    "Rollback",
    "RungState",
    "Search",
    "Served",
    "Similar",
    "StartExperiment",
    "StopExperiment",
    "Suggest",
    "Suggestions",
    "Trending",
    "User",
    "UserPatch",
    "Users",
    "Voice",
    "encoded",
]

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Key = Text | Whole
"""An id, as the caller named it."""
Plain = bool | Whole | float | Annotated[str, Meta(max_length=1_000)]
Values = Annotated[list[Plain], Meta(max_length=100)]
Range = Annotated[dict[Literal["min", "max"], Plain], Meta(min_length=1)]
Filters = Annotated[dict[Text, Plain | Values | Range], Meta(max_length=16)]
"""Conditions on attributes: a value, any of some values, or a range."""
Keys = Annotated[list[Key], Meta(max_length=1_000)]
Attributes = Annotated[dict[Text, bool | Whole | float | str | list[Plain] | None], Meta(max_length=200)]
"""What is said of an item or a user, by column of the catalogue."""
Many = Annotated[int, Meta(ge=1, le=100)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)")]
"""Of an experiment or an arm: ASCII letters, digits, and dots, hyphens and underscores behind the first of them."""


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every question may have."""

    k: Many = 10
    filters: Filters = {}
    exclude: Keys = []
    priority: Literal["interactive", "standard", "batch"] = "standard"
    """Whether somebody waits for it, or nobody does."""
    diversity: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """From 0, the best items whatever they are, to 1, items that are as little alike as can be."""
    show: Annotated[list[Text], Meta(max_length=20)] = []
    """Columns of the catalogue that the answer repeats for each pick, such as `categories`."""
    deadline_ms: Annotated[float, Meta(gt=0, le=600_000)] | None = None
    """By when an answer is wanted; one that could only come later is refused at once."""
    session: Key | None = None
    """Where there is no user, what stays the same while one person asks: an experiment gives it one arm throughout."""


class Search(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A search text, ordered for a user where one is given; what the user has seen may appear."""

    text: Annotated[str, Meta(min_length=1, max_length=1_000)]
    user: Key | None = None
    history: Keys = []
    repeat: bool = True


class Recommend(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For a user, known or new, and for what a session did just now, the oldest first."""

    user: Key | None = None
    history: Keys = []
    repeat: bool = False


class Similar(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items like the given ones; ordered for a user where one is given."""

    items: Annotated[list[Key], Meta(min_length=1, max_length=100)]
    user: Key | None = None
    repeat: bool = True


class Trending(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What many people like now."""


class Suggest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was typed so far."""

    text: Annotated[str, Meta(max_length=200)]
    k: Annotated[int, Meta(ge=1, le=20)] = 8


class Count(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What items that match a text and filters are like; without a text, all items."""

    text: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    filters: Filters = {}
    columns: Annotated[list[Text], Meta(max_length=20)] = []
    """Which columns are counted; without any, all that are worth it."""
    k: Annotated[int, Meta(ge=1, le=100)] = 12
    """How many values of each column."""


class FindUsers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The beginning of a user's id."""

    text: Annotated[str, Meta(max_length=200)] = ""
    k: Annotated[int, Meta(ge=1, le=20)] = 8


class Explain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an item would be in the slate of this question."""

    item: Key
    text: Annotated[str, Meta(min_length=1, max_length=1_000)] | None = None
    user: Key | None = None
    history: Keys = []
    items: Annotated[list[Key], Meta(max_length=100)] = []


class Feedback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody did. With an `id` of your own a repeated delivery changes nothing."""

    kind: Literal["impression", "click", "rating", "purchase", "like", "dislike", "dismiss"]
    """`dismiss` says that the item is not wanted again, and nothing of taste."""
    item: Key
    user: Key | None = None
    value: float | None = None
    slate: Text | None = None
    timestamp: Annotated[int, Meta(ge=0, le=8_640_000_000_000_000)] | None = None
    id: Text | None = None


class Batch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several events; all are stored, or none."""

    events: Annotated[list[Feedback], Meta(min_length=1, max_length=1_000)]


class ItemPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is new about an item; what is not given stays as it was."""

    attributes: Attributes = {}
    available: bool = True
    """False hides it on every path, as when it is sold out."""


class UserPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is new about a user; what is not given stays as it was."""

    attributes: Attributes = {}


class Promote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which artifact shall answer from now on, by its folder's name; `/artifacts` lists them."""

    folder: Text


class Rollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The artifact that answers now, so that two who roll back at once do not lead forward again."""

    artifact: Text


class Arm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the ways to make slates that an experiment compares."""

    name: Name
    share: Annotated[float, Meta(gt=0, lt=1)]
    """Of the users."""
    diversity: Annotated[float, Meta(ge=0, le=1)] | None = None
    """For questions that ask for none of their own."""
    artifact: Text | None = None
    """The folder of the artifact that answers; without one the promoted artifact does. `/artifacts` lists them."""


class StartExperiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arms to compare; the first is the control. Shares add up to 1, and a name can be used once."""

    name: Name
    arms: Annotated[list[Arm], Meta(min_length=2, max_length=10)]


class StopExperiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing; it is asked for since JSON is what the form of a foreign page cannot send."""


class Served(Struct, frozen=True, kw_only=True):
    """A slate and the artifact that made it."""

    slate: Slate
    artifact: str


Kind = Literal["text", "number", "flag", "list", "other"]


class Column(Struct, frozen=True, kw_only=True):
    """A column of the catalogue."""

    name: str
    kind: Kind


class Catalogue(Struct, frozen=True, kw_only=True):
    """What is said of items."""

    items: int
    columns: list[Column]


class Counted(Struct, frozen=True, kw_only=True):
    """A value and how many items have it."""

    value: str | int | float | bool
    count: int


class Facet(Struct, frozen=True, kw_only=True):
    """What items have in a column: the most frequent values, or for numbers the range."""

    column: str
    values: list[Counted] = []
    low: float | None = None
    high: float | None = None


class Facets(Struct, frozen=True, kw_only=True):
    """How many items match, and what they are like; a column is counted under the filters on the others."""

    matches: int
    facets: list[Facet]


class Users(Struct, frozen=True, kw_only=True):
    """Users that the artifact was fitted on."""

    users: list[str | int]


class Suggestions(Struct, frozen=True, kw_only=True):
    """Titles that complete what is being typed."""

    titles: list[str]


class Voice(Struct, frozen=True, kw_only=True):
    """What one event, or the text, adds to the score that one retriever gives."""

    retriever: str
    item: str | int
    title: str
    amount: float


class Explanation(Struct, frozen=True, kw_only=True):
    """The scores that retrievers give an item for a question, and the events that raise or lower them most."""

    item: str | int
    title: str
    available: bool
    scores: dict[str, float]
    because: list[Voice]
    snippet: str | None = None


class Accepted(Struct, frozen=True, kw_only=True):
    """The ids of events that are stored, now or already before; they outlast a crash."""

    ids: list[str]


class Item(Struct, frozen=True, kw_only=True):
    """An item as it is known now."""

    item: str | int
    available: bool
    attributes: dict[str, Any]


class User(Struct, frozen=True, kw_only=True):
    """A user as they are known now."""

    user: str | int
    attributes: dict[str, Any]
    events: int
    """How many of their events count."""


class Health(Struct, frozen=True, kw_only=True):
    """How the server is."""

    status: Literal["ok", "waiting"]
    process: int
    """The worker that answers this."""
    artifact: str
    items: int
    users: int
    offset: int
    """The newest event that answers know of."""
    behind: int
    """How many stored events they do not know of yet."""
    trouble: str | None = None
    """What went wrong last, such as an artifact that could not be opened."""


class RungState(Struct, frozen=True, kw_only=True):
    """A step of the ladder, and what a question costs with it."""

    name: str
    quality: float
    """A share of the top rung's."""
    milliseconds: float
    """Of the networks that it sets, for one question, as measured when the ladder was made."""
    question_milliseconds: float
    """Of a whole question, as predicted from what is measured now."""


class Ladder(Struct, frozen=True, kw_only=True):
    """The steps that may answer, and the one in use; empty where there is no ladder."""

    rungs: list[RungState] = []
    current: str | None = None
    floor: float = 0.0
    """The share of the top rung's quality below which no rung answers."""
    arriving: float = 0.0
    """Questions a second that come to this worker, without those of batches."""
    waiting: int = 0
    """Questions that wait in this worker."""


class Interval(Struct, frozen=True, kw_only=True):
    """An estimate and its confidence interval of 95 %, which holds however often it is looked at."""

    value: float
    low: float
    high: float


class ArmFigures(Struct, frozen=True, kw_only=True):
    """What an arm shows by now."""

    arm: Arm
    users: int
    """Users and sessions that got a slate."""
    slates: int
    positive: int
    """Slates that at least one positive event answers: a click, like or purchase, or a rating above the neutral one."""
    rate: Interval | None = None
    """The share of a user's slates that are positive, as the mean over users; None below two users."""
    difference: Interval | None = None
    """To the control's rate."""
    p_value: float | None = None
    """Of no difference; it, too, holds however often it is looked at."""


class Figures(Struct, frozen=True, kw_only=True):
    """An experiment and what it shows by now."""

    name: str
    started: int
    """Milliseconds since 1970 in UTC."""
    stopped: int | None = None
    arms: list[ArmFigures]
    """The control first."""
    split_p_value: float | None = None
    """How likely chance alone splits users at least so unlike the shares."""
    trouble: str | None = None
    """Why the figures tell nothing."""


class Experiments(Struct, frozen=True, kw_only=True):
    """Experiments, the newest first."""

    experiments: list[Figures]


class About(Struct, frozen=True, kw_only=True):
    """The artifact that answers: how it was made, and what was found out about it."""

    artifact: str
    created: str
    data: str
    """The fingerprint of the data."""
    recipe: dict[str, Any]
    packages: dict[str, str]
    cleaning: dict[str, Any]
    """What reading and cleaning the data found."""
    quality: dict[str, Any] | None = None
    """Figures measured on held-out data, where it was fitted with `--measure`."""


class Candidate(Struct, frozen=True, kw_only=True):
    """An artifact that could answer."""

    folder: str
    artifact: str
    created: str
    recipe: str


class Candidates(Struct, frozen=True, kw_only=True):
    """Artifacts beside the one that answers, the newest first."""

    artifacts: list[Candidate]
    current: str
    """The folder of the one that answers."""
    previous: str | None = None
    """The folder that a rollback leads to."""
    linked: bool = True
    """Whether the server follows a link; without one nothing can be promoted."""


class Promoted(Struct, frozen=True, kw_only=True):
    """The artifact that answers as soon as it is opened; `/health` says when."""

    folder: str
    artifact: str


class Problem(Struct, frozen=True, kw_only=True):
    """Why there is no answer, as RFC 9457 has it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def encoded(answer: object) -> bytes:
    """Return an answer as JSON; what is no number becomes null."""
    return ENCODER.encode(answer)


ENCODER = msgspec.json.Encoder(enc_hook=str)
"""Dates and the like, in attributes, are written as text."""
