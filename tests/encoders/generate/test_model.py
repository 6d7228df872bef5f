import json

import pytest
import torch

from twofold.core.errors import ConfigError
from twofold.encoders.generate.model import Generator
from twofold.encoders.generate.sampling import Prompt, Sampling

FAMILIES = ["gpt", "chat", "t5"]
TEXTS = ["heat", "alien in space", "toy story 2 is a comedy", "shrek the ogre and the doll"]


def prompts(texts=TEXTS):
    return [Prompt(text=text, instruction="write a question", opening="question :") for text in texts]


@pytest.fixture(params=FAMILIES)
def generator(request, folders):
    return Generator.load(str(folders[request.param]))


@pytest.fixture
def gpt(folders):
    return Generator.load(str(folders["gpt"]))


def write(generator, texts=TEXTS, seed=0, longest=16, **options):
    return generator.write(prompts(texts), Sampling(**{"tokens": 6, **options}), longest=longest, seed=seed)


def test_each_prompt_gets_its_samples(generator):
    found = write(generator, samples=3)
    assert [len(lines) for lines in found] == [3, 3, 3, 3]
    assert all(len(line.split()) <= 6 and "\n" not in line for lines in found for line in lines)
    assert len({line for lines in found for line in lines}) > 4


def test_a_seed_decides(generator):
    state = torch.random.get_rng_state()
    assert write(generator, seed=3) == write(generator, seed=3) != write(generator, seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_padding_changes_nothing(generator):
    """The likeliest words are the same for a prompt alone and beside longer ones."""
    likeliest = {"samples": 1, "temperature": 0.0}
    assert write(generator, batch=4, **likeliest) == [write(generator, [text], **likeliest)[0] for text in TEXTS]


def test_what_was_read_once_is_gone_on_from_as_if_read_by_each(gpt):
    """One likeliest sample equals what `generate` itself makes of the prompt."""
    read = torch.tensor([gpt.read(gpt.composed(prompts()[2], 16))])
    whole = gpt.module.generate(read, max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=2)
    expected = gpt.tokenizer.decode(whole[0, read.shape[1] :], skip_special_tokens=True).strip()
    assert write(gpt, [TEXTS[2]], samples=1, temperature=0.0) == [[expected]]


def test_a_prompt_is_composed_for_its_model(folders):
    found = {family: Generator.load(str(folders[family])).composed(prompts()[0], 16) for family in FAMILIES}
    assert found == {
        "gpt": "heat\n\nwrite a question: question :",
        "chat": "system : write a question user : heat assistant : question :",
        "t5": "write a question: heat",
    }


def test_long_texts_are_cut_by_tokens_and_the_opening_stays(gpt):
    assert gpt.shortened("heat " * 1_000, 3) == "heat heat heat"
    assert gpt.composed(Prompt(text="heat " * 100_000, instruction="write"), 2) == "heat heat\n\nwrite:"


@pytest.mark.parametrize("text", ["", " ", "\x00\x07", "早上好 heat", "مرحبا", "<s> </s> heat"])
def test_odd_texts_do_no_harm(generator, text):
    assert len(write(generator, [text, "heat"], samples=2)) == 2


def test_no_prompts(generator):
    assert write(generator, []) == []


def test_writing_ends_in_time(gpt):
    ticks = iter(range(0, 1_000, 10))
    parts = list(
        gpt.write_until(
            prompts(TEXTS * 4), Sampling(samples=1, tokens=2, batch=1), longest=8, seed=0, seconds=25,
            clock=lambda: next(ticks),
        )
    )  # fmt: skip
    assert [start for start, _ in parts] == [0]  # a part lasts 20 s here, and the second would end at 50 s
    begun = list(gpt.write_until(prompts(), Sampling(samples=1, tokens=2, batch=1), longest=8, seed=0, seconds=0))
    assert len(begun) == 1  # the first is always written


def test_line_breaks_end_a_text(folders):
    generator = Generator.load(str(folders["gpt"]))
    assert generator._stops == [2]
    assert generator._line("\n one line \n two") == "one line"
    assert generator._line(" \n ") == ""


def test_a_model_that_writes_nothing_is_refused(folders, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folders["gpt"] / name).read_bytes())
    about = json.loads((folders["gpt"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**about, "model_type": "vit"}))
    with pytest.raises(ConfigError, match="name a GPT or T5 model"):
        Generator.load(str(tmp_path))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"temperature": -1.0}, {"temperature": 0.0}, {"batch": 0}])
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"sampling wants|always writes the same"):
        Sampling(**wrong)
