import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.encoders.generate.grounding import Checker, Evidence, title_keys
from twofold.encoders.generate.words import COMMON


def split(names: str) -> list[str]:
    """Return what stands between tildes."""
    return [name.strip() for name in names.strip().split(" ~") if name]


TITLES = """
Toy Story (1995) ~ Toy Story 2 ~ Shrek ~ Heat ~ It ~ Up ~ Her ~ The Matrix ~ Matrix Reloaded, The ~ Alien ~
Aliens ~ A Bug's Life ~ Spider-Man ~ Amélie ~ Star Wars: Episode IV - A New Hope ~ 300 ~ Big Fish ~ Fish Tank ~
You've Got Mail ~ Dr. Strangelove or: How I Learned to Stop Worrying ~ Se7en (a.k.a. Seven) ~ Drama ~ 霸王别姬 ~ 英雄 ~
New York, New York ~ What If ~ Lord of the Rings: The Two Towers ~ Kill Bill: Vol. 1 ~ M ~ Léon ~ Crash ~ WALL·E
"""
CATEGORIES = ["Comedy", "Crime", "Sci-Fi", "Film-Noir", "Children", "Drama", "Western"]
CHECKER = Checker([*split(TITLES), None], CATEGORIES, ["the heat of the night and toys"] * 3)
TOYS = Evidence(
    titles=["Toy Story 2", "Toy Story", "Shrek"],
    categories=["Comedy", "Children"],
    text="Woody is stolen by a toy collector. An ogre called Shrek lives in a swamp.",
)


@pytest.mark.parametrize(
    "sentence",
    [
        "Because you liked Toy Story, this is a funny tale of toys.",
        "If you enjoyed Shrek and Toy Story, Toy Story 2 is another comedy for children.",
        "Toy Story 2 brings back Woody, as you liked Toy Story",
        "Like “Toy Story”, it is a comedy",
        "Like 'Shrek', it's a warm comedy and you'll like it",
        "Shrek's humour and its heart come up again here!",
        "You liked TOY STORY, and this is up to it",
        "It is as funny as Shrek",
        "Toy Story Two is as good as Shrek",
    ],
)
def test_a_grounded_sentence_passes(sentence):
    assert CHECKER.fault(sentence, TOYS) is None


NAMED = """
Heat ~ HEAT ~ “heat” ~ 'heat' ~ It ~ Up ~ Her ~ the matrix ~ The Matrix ~ matrix ~ MATRIX ~ the  Matrix ~
matrix reloaded ~ The Matrix Reloaded ~ Matrix Reloaded, The ~ Alien ~ alien ~ aliens ~ a bug's life ~
A Bugs Life ~ bug’s life ~ A BUG'S LIFE ~ spider-man ~ Spiderman ~ spider man ~ SPIDER MAN ~ Amelie ~ amélie ~
AMÉLIE ~ star wars ~ Star Wars ~ star wars episode iv a new hope ~ 300 ~ you've got mail ~ Youve Got Mail ~
dr. strangelove ~ Strangelove ~ Seven ~ Se7en ~ 霸王别姬 ~ 《英雄》 ~ 英雄 ~ New York ~ new york new york ~
lord of the rings ~ The Two Towers ~ kill bill ~ Kill Bill ~ M ~ Leon ~ leon ~ wall e ~ WALL-E ~ Wall·E ~
Fish Tank ~ What If ~ Ｈｅａｔ ~ Toy Story 3 ~ Toy Story III ~ toy story three ~ Shrek 2 ~ Shrek II ~ shrek two ~
Shrek the Third ~ Godzilla ~ Jurasic Park ~ “a fine film” ~ "the godfather" ~ *casablanca* ~ _casablanca_ ~
«casablanca» ~ Ѕhrek ~ sh\u200brek ~ 1984 ~ John ~ matrix's
"""
"""What none of them may name."""


@pytest.mark.parametrize("named", split(NAMED))
@pytest.mark.parametrize(
    "frame", ["Because you liked Shrek and {}, this is a comedy", "{} and Shrek are for you and me"]
)
def test_what_is_not_in_the_evidence_is_refused(named, frame):
    if frame.startswith("{}") and named in ("Heat", "It", "Up", "Her", "Ｈｅａｔ"):
        pytest.skip("where a sentence begins, a common word is no name")
    assert CHECKER.fault(frame.format(named), TOYS) is not None


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("You liked Shrek and its bizarre humour", "bizarre"),
        ("You liked Shrek and a Collector of toys", "Collector"),  # written small in the evidence
        ("You liked Shrek and also loved Toy Story 2", "liked already"),
        ("", "0 words"),
        ("Shrek", "1 words"),
        ("Like Shrek " + "it is good and " * 12, "words"),
        ("Like Shrek it is " + "wonderful" * 40, "words"),
        ("You liked Shrek. This is a comedy", "more than a sentence"),
        ("You liked Shrek: it is a comedy", "more than a sentence"),
        ("You liked Shrek and it is good and it is good and so on", "repeats"),
        ("You liked Shrek and it is very very good", "repeats"),
        ("You liked Shrek and Shrek and Shrek a lot", "repeats a title"),
        ("You liked Shrek, a western of note", "western"),
        ("You liked Shrek, one of the film noirs", "film noirs"),
        ("You liked Shrek, it is sci-fi", "sci fi"),
        ("It is a comedy for you", "names nothing"),
        ("You like shrek and its kind", "names nothing"),
        ("Toy Story 2 is a comedy for you", "names nothing"),  # that is what is recommended
        ('You liked Shrek and "ogre things', "lone"),
        ("You liked Shrek <b>much</b> more", "marks"),
        ("You liked Shrek, see www.shrek and buy", "marks"),
        ("You liked Shrek\x00 and its kind", "cannot be seen"),
        ("You liked Shrek\nand its kind", "cannot be seen"),
        ("You liked Shrek на свете for it", "script"),
        ("You liked Shrek in 7 ways", "7"),
    ],
)
def test_faults_are_named(sentence, words):
    assert words in str(CHECKER.fault(sentence, TOYS))


def test_common_words_are_titles_only_where_they_look_like_it():
    for sentence in ("Like Shrek, it turns up for her", "It is up to her to like Shrek"):
        assert CHECKER.fault(sentence, TOYS) is None
    for sentence in ("Like Shrek, It is funny", "Like Shrek and “it”, this is fun", "Heat and Up are like Shrek"):
        assert CHECKER.fault(sentence, TOYS) is not None


def test_a_title_within_a_title_of_the_evidence_is_no_other():
    fish = Evidence(titles=["Big Fish", "Aliens"])
    assert CHECKER.fault("You liked Aliens, so try Big Fish now", fish) is None
    assert CHECKER.fault("You liked Aliens, so try Big Fish Tank", fish) is not None  # Fish Tank
    matrix = Evidence(titles=["Heat", "The Matrix"])
    assert CHECKER.fault("You liked The Matrix, so try Heat", matrix) is None
    assert CHECKER.fault("You liked the matrix reloaded, so try Heat", matrix) is not None


def test_a_category_may_be_the_title_of_another_item():
    drama = Evidence(titles=["Heat", "Crash"], categories=["Drama", "Crime"])
    assert CHECKER.fault("Like Crash, Heat is a Drama and a crime film", drama) is None
    assert CHECKER.fault("Like Crash, Heat is a Drama", Evidence(titles=["Heat", "Crash"])) is not None


def test_a_chinese_title_of_the_evidence_passes():
    evidence = Evidence(titles=["Heat", "霸王别姬"])
    assert CHECKER.fault("You liked 霸王别姬 and Heat is as dark", evidence) is None
    assert CHECKER.fault("You liked 霸王别姬 and 英雄 for its mood", evidence) is not None


def test_how_a_title_may_be_written():
    assert title_keys("A Bug's Life") == {"buglife", "bugslife"}
    assert title_keys("The The") == {"thethe"}
    assert title_keys("A") == {"a"}
    assert title_keys("Postman, Il") == {"ilpostman"}
    assert title_keys("(1999)") == {"1999"}
    assert title_keys("...") == set()
    assert "seven" in title_keys("Se7en (a.k.a. Seven)") or "se7en" in title_keys("Se7en (a.k.a. Seven)")


WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9).filter(lambda word: word not in COMMON)
NAMES = st.lists(WORD, min_size=1, max_size=4).map(" ".join)
VARIANTS = st.sampled_from(
    [
        str.title, str.upper, str.lower, lambda name: f"“{name}”", lambda name: f"The {name.title()}",
        lambda name: f"{name}'s",
        lambda name: name.replace(" ", "-"), lambda name: name.replace(" ", ""), lambda name: f"{name}, the",
        lambda name: name.replace("e", "é"), lambda name: name.replace(" ", " the "), lambda name: f"({name})",
    ]
)  # fmt: skip
FRAMES = st.sampled_from(
    ["You liked Shrek and {} a lot", "Shrek is like {}", "{} is as good as Shrek", "Like Shrek, {}"]
)


@given(NAMES, VARIANTS, FRAMES)
def test_no_title_of_the_catalogue_passes_in_any_form(name, variant, frame):
    checker = Checker(["Shrek", name], CATEGORIES)
    evidence = Evidence(titles=["Shrek", "Shrek"])
    assert title_keys(name) & title_keys("shrek") or checker.fault(frame.format(variant(name)), evidence) is not None


@given(NAMES, st.sampled_from([str.title, str.upper]), FRAMES)
def test_no_unknown_work_passes_where_it_is_written_large(name, variant, frame):
    evidence = Evidence(titles=["Shrek", "Shrek"])
    assert name == "shrek" or Checker(["Shrek"]).fault(frame.format(variant(name)), evidence) is not None


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=4), st.text(max_size=40))
def test_anything_can_be_looked_at(sentence, titles, text):
    evidence = Evidence(titles=titles or ["x"], categories=titles, text=text)
    Checker([*titles, sentence[:30]], titles, [text]).fault(sentence, evidence)
