import json
import math

import pytest
import torch

from twofold.core.errors import ArtifactError, ConfigError, DataError
from twofold.train import Training, train
from twofold.train.loop import rate
from twofold.train.precision import autocast, has_bfloat16

EACH_STEP = {"checkpoint_minutes": 0.0}


class Clock:
    """A clock that moves by a fixed time at each look."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_training_lowers_the_loss_and_goes_through_all_data(make_task):
    task = make_task()
    before = task.quality()
    report = train(task, Training(epochs=30, lr=0.05), seed=1)
    assert report.quality > before
    assert (report.steps, report.epochs, report.stopped) == (90, 30, "epochs")
    assert sorted(row for batch in task.seen[:3] for row in batch) == list(range(10))
    assert task.seen[:3] != task.seen[3:6]
    assert not task.module.training


@pytest.mark.parametrize("kill", [1, 3, 4, 8])
def test_a_killed_training_goes_on_to_the_same_bits(make_task, weights_of, tmp_path, kill):
    options = Training(epochs=4, lr=0.05, **EACH_STEP)
    whole = make_task()
    expected = train(whole, options, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train(make_task(fail_at=kill), options, seed=1, checkpoint=tmp_path / "c")
    resumed = make_task()
    report = train(resumed, options, seed=1, checkpoint=tmp_path / "c")
    assert len(resumed.seen) == 12 - kill
    assert same(weights_of(whole), weights_of(resumed))
    assert report.evaluations == expected.evaluations
    assert (report.steps, report.loss, report.quality) == (12, expected.loss, expected.quality)


def test_a_finished_training_is_not_done_again(make_task, weights_of, tmp_path):
    options = Training(epochs=2, lr=0.05, **EACH_STEP)
    first = make_task()
    train(first, options, seed=1, checkpoint=tmp_path / "c")
    second = make_task()
    report = train(second, options, seed=1, checkpoint=tmp_path / "c")
    assert not second.seen
    assert report.stopped == "epochs"
    assert same(weights_of(first), weights_of(second))


def test_seeds_decide(make_task, weights_of):
    tasks = [make_task() for _ in range(3)]
    state = torch.get_rng_state()
    for task, seed in zip(tasks, (1, 1, 2), strict=True):
        train(task, Training(epochs=2), seed=seed)
    assert same(weights_of(tasks[0]), weights_of(tasks[1]))
    assert not same(weights_of(tasks[0]), weights_of(tasks[2]))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("changes", "seed", "named"), [({"lr": 0.1}, 1, "options"), ({}, 2, "seed")])
def test_a_checkpoint_of_another_training_is_refused(make_task, tmp_path, changes, seed, named):
    train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c")
    with pytest.raises(ArtifactError, match=f"another {named};"):
        train(make_task(), Training(epochs=1, **changes), seed=seed, checkpoint=tmp_path / "c")


def test_a_checkpoint_of_other_data_is_refused(make_task, tmp_path):
    for _ in range(2):
        train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c", about={"data": "a", "sizes": (1, 2)})
    with pytest.raises(ArtifactError, match="another data;"):
        train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c", about={"data": "b", "sizes": (1, 2)})


def test_a_damaged_checkpoint_is_refused(make_task, tmp_path):
    train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c")
    with (tmp_path / "c" / "weights.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(ArtifactError, match="altered"):
        train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c")


def test_a_checkpoint_is_safetensors_and_json(make_task, tmp_path):
    train(make_task(), Training(epochs=1), seed=1, checkpoint=tmp_path / "c")
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".safetensors", ".json"}
    position = json.loads((tmp_path / "c" / "manifest.json").read_text())["checkpoint"]["position"]
    assert (position["step"], position["epoch"], position["stopped"]) == (3, 1, "epochs")


def test_the_best_weights_are_kept(make_task, weights_of):
    task = make_task(qualities=[0.1, 0.9, 0.5])
    report = train(task, Training(epochs=3), seed=1)
    shorter = make_task()
    train(shorter, Training(epochs=2, lr=1e-3), seed=1)
    assert report.quality == 0.9
    assert report.evaluations == ((3, 0.1), (6, 0.9), (9, 0.5))
    last = make_task(held_out=False)
    train(last, Training(epochs=3), seed=1)
    assert not same(weights_of(task), weights_of(last))


def test_patience_ends_it(make_task):
    task = make_task(qualities=[0.5, 0.4, 0.3, 0.9])
    report = train(task, Training(epochs=9, patience=2), seed=1)
    assert (report.stopped, report.steps, report.quality) == ("patience", 9, 0.5)


def test_what_patience_ended_is_not_gone_on_with(make_task, tmp_path):
    for _ in range(2):
        task = make_task(qualities=[0.5, 0.4])
        report = train(task, Training(epochs=9, patience=1), seed=1, checkpoint=tmp_path / "c")
        assert (report.stopped, report.steps, report.epochs, report.quality) == ("patience", 6, 2, 0.5)
    assert not task.seen


def test_the_starting_weights_win_where_training_harms(make_task, weights_of):
    task = make_task(qualities=[0.8, 0.7])
    before = weights_of(task)
    report = train(task, Training(epochs=1, evaluate_first=True), seed=1)
    assert report.quality == 0.8
    assert same(weights_of(task), before)


def test_steps_end_it_and_evaluations_come_between(make_task):
    report = train(make_task(), Training(steps=5, evaluate_every=2), seed=1)
    assert report.stopped == "steps"
    assert [step for step, _ in report.evaluations] == [2, 4, 5]


def test_time_ends_it(make_task):
    report = train(make_task(held_out=False), Training(minutes=1.0), seed=1, clock=Clock(step=1.0))
    assert report.stopped == "time"
    assert 60 <= report.seconds <= 65


def test_the_time_before_a_kill_counts(make_task, tmp_path):
    options = Training(minutes=1.0, **EACH_STEP)
    with pytest.raises(KeyboardInterrupt):
        train(make_task(fail_at=5), options, seed=1, checkpoint=tmp_path / "c", clock=Clock(step=1.0))
    task = make_task()
    report = train(task, options, seed=1, checkpoint=tmp_path / "c", clock=Clock(step=1.0))
    alone = make_task()
    train(alone, options, seed=1, clock=Clock(step=1.0))
    assert 60 <= report.seconds <= 65
    assert len(task.seen) < len(alone.seen)


def test_the_learning_rate_follows_the_clock_where_it_leads(make_task):
    def moved(minutes):
        task = make_task(held_out=False)
        before = [value.detach().clone() for value in task.module.parameters()]
        options = Training(steps=10_000, minutes=minutes, warmup=0.0, lr=0.1)
        train(task, options, seed=1, clock=Clock(step=1.0))
        return task, before

    task, _ = moved(0.5)
    # Ten thousand steps would end far later; the clock ended it with a learning rate of nearly 0.
    assert len(task.seen) < 30


def test_schedule():
    assert rate(0.0, 0.0) == 1.0
    assert rate(0.05, 0.1) == 0.5
    assert rate(1.0, 0.1) == pytest.approx(0.0)


def test_only_matrices_decay():
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.fill_(1.0)
        module.bias.fill_(1.0)

    class Still:
        def __init__(self):
            self.module = module

        def batches(self, epoch, rng):
            return [0]

        def backward(self, batch):
            (0 * module(torch.ones(1, 2))).sum().backward()
            return 0.0

        def quality(self):
            return None

    train(Still(), Training(steps=1, warmup=0.0, lr=0.5, weight_decay=0.1), seed=1)
    # One step of one: the share is (0 + 1) / (1 + 1), so half the learning rate decays the matrix.
    assert module.weight.tolist() == [[pytest.approx(1 - 0.25 * 0.1)] * 2]
    assert module.bias.tolist() == [1.0]


def test_a_loss_that_is_no_number_is_one_sentence(make_task):
    task = make_task()
    task.y[:] = math.nan
    with pytest.raises(ConfigError, match="the loss is nan after 0 steps; train with a smaller lr"):
        train(task, Training(epochs=1), seed=1)


def test_nothing_to_train_on(make_task):
    task = make_task()
    task.x = task.x[:0]
    with pytest.raises(DataError, match="nothing to train on"):
        train(task, Training(epochs=1), seed=1)
    for value in task.module.parameters():
        value.requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter of the model is trained"):
        train(task, Training(epochs=1), seed=1)


def test_frozen_parameters_stay_and_are_not_in_the_checkpoint(make_task, tmp_path):
    task = make_task()
    task.module[0].requires_grad_(False)
    before = task.module[0].weight.clone()
    train(task, Training(epochs=2, lr=0.1), seed=1, checkpoint=tmp_path / "c")
    assert torch.equal(task.module[0].weight, before)
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert list(manifest["checkpoint"]["owner"]["weights"]) == ["2.weight", "2.bias"]


def test_progress_tells_loss_quality_and_time_left(make_task):
    said = []
    train(
        make_task(),
        Training(epochs=4),
        seed=1,
        progress=lambda what, done, of: said.append((what, done, of)),
        clock=Clock(step=0.3),
    )
    what, done, of = said[len(said) // 2]
    assert what.startswith("train: loss ")
    assert ", held out -" in what
    assert what.endswith(" s left")
    assert 0 < done < of <= 13


def test_batches_without_a_length_are_counted(make_task):
    task = make_task()
    listed = task.batches
    task.batches = lambda epoch, rng: iter(listed(epoch, rng))
    report = train(task, Training(epochs=2), seed=1)
    assert (report.steps, report.epochs) == (6, 2)


def test_options_are_checked():
    with pytest.raises(ValueError, match="wants an end"):
        Training()
    with pytest.raises(ValueError, match="above 0"):
        Training(epochs=0)
    with pytest.raises(ValueError, match="of 0 or more"):
        Training(epochs=1, patience=-1)
    with pytest.raises(ValueError, match="warmup"):
        Training(epochs=1, warmup=1.0)


def test_bfloat16_only_where_the_machine_has_it():
    device = torch.device("cpu")
    layer = torch.nn.Linear(2, 2)
    with autocast(device, "auto"):
        assert layer(torch.ones(1, 2)).dtype == (torch.bfloat16 if has_bfloat16(device) else torch.float32)
    with autocast(device, "float32"):
        assert layer(torch.ones(1, 2)).dtype == torch.float32


def test_bfloat16_is_refused_where_the_machine_lacks_it(monkeypatch):
    monkeypatch.setattr("twofold.train.precision.has_bfloat16", lambda _: False)
    with pytest.raises(ConfigError, match="this machine's cpu has no bfloat16"):
        autocast(torch.device("cpu"), "bfloat16")
