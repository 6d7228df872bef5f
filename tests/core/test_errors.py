import pytest

from twofold.core import errors
from twofold.core.errors import TwofoldError, nearest


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigError", ValueError),
        ("DataError", ValueError),
        ("QueryError", ValueError),
        ("ArtifactError", OSError),
        ("MissingExtraError", ImportError),
    ],
)
def test_each_error_is_ours_and_a_builtin(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)("one sentence.")
    assert isinstance(error, TwofoldError)
    assert isinstance(error, builtin)
    assert str(error) == "one sentence."


def test_a_hint_where_nothing_is_known() -> None:
    assert nearest("x", []) == "known: none."
