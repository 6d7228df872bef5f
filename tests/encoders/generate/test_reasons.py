import pytest

from twofold.encoders.generate import Case, Checker, Described, draft, template

TOY = Described(title="Toy Story", categories=("Comedy", "Children"), text="A cowboy doll meets a space ranger.")
SEQUEL = Described(title="Toy Story 2", categories=("Comedy", "Animation"), text="A doll is stolen by a collector.")
HEAT = Described(title="Heat", categories=("Crime",), text="A thief.")
BARE = Described(title="Up")
CHECKER = Checker(["Toy Story", "Toy Story 2", "Heat", "Up", "Shrek"], ["Comedy", "Children", "Animation", "Crime"])


class Scribe:
    """Writes what it is told to."""

    def __init__(self, *lines):
        self.lines = lines
        self.prompts = []

    def write(self, prompts, *_, **__):
        self.prompts = prompts
        return [list(self.lines) for _ in prompts]


def test_the_first_sound_sentence_is_taken():
    scribe = Scribe("Shrek is better", "this is as funny. And so on", "it is a comedy")
    (found,) = draft([Case(item=SEQUEL, cited=[TOY])], CHECKER, scribe)
    assert found.by_model
    assert found.text == "Because you liked Toy Story, this is as funny."
    (prompt,) = scribe.prompts
    assert prompt.opening == "Because you liked Toy Story,"
    assert prompt.text == (
        "Liked: Toy Story (Comedy, Children). A cowboy doll meets a space ranger.\n"
        "New: Toy Story 2 (Comedy, Animation). A doll is stolen by a collector."
    )


def test_an_opening_that_is_written_again_is_not_said_twice():
    (found,) = draft([Case(item=SEQUEL, cited=[TOY])], CHECKER, Scribe("Because you liked Toy Story, this is as funny"))
    assert found.text == "Because you liked Toy Story, this is as funny."


@pytest.mark.parametrize(
    "line", ["", "you will like Shrek", "Heat", "funny funny funny", "it is a crime comedy", "<b>", "x"]
)
def test_the_template_stands_in(line):
    (found,) = draft([Case(item=SEQUEL, cited=[TOY])], CHECKER, Scribe(line, line))
    assert not found.by_model
    assert found.text == "Because you liked Toy Story: both are Comedy."


@pytest.mark.parametrize(
    ("item", "cited", "sentence"),
    [
        (SEQUEL, [TOY], "Because you liked Toy Story: both are Comedy."),
        (SEQUEL, [TOY, TOY], "Because you liked Toy Story and Toy Story: all are Comedy."),
        (SEQUEL, [HEAT, TOY], "Because you liked Heat and Toy Story: like Toy Story, it is Comedy."),
        (SEQUEL, [BARE], "Because you liked Up."),
        (
            Described(title="A", text="Some robots and a friend dream of rain."),
            [Described(title="B", text="The robots dream of more.")],
            "Because you liked B: B is about robots and dream, too.",
        ),
    ],
)
def test_templates(item, cited, sentence):
    assert template(Case(item=item, cited=cited)) == sentence


def test_no_case_needs_no_writer():
    assert draft([], CHECKER, Scribe("x")) == []
    assert [found.by_model for found in draft([Case(item=SEQUEL, cited=[TOY])], CHECKER)] == [False]


@pytest.mark.parametrize("family", ["gpt", "chat", "t5"])
def test_a_model_that_babbles_is_not_believed(folders, family):
    from twofold.encoders.generate.model import Generator

    cases = [Case(item=item, cited=[cited]) for item, cited in ((SEQUEL, TOY), (HEAT, SEQUEL), (TOY, BARE))]
    found = draft(cases, CHECKER, Generator.load(str(folders[family])), seed=1)
    for case, made in zip(cases, found, strict=True):
        assert made.text.startswith(f"Because you liked {case.cited[0].title}")
        named = {title for title in ("Shrek", "Heat", "Up") if title.lower() in made.text.lower().split()}
        assert named <= {case.item.title, case.cited[0].title}
