"""The loop: resuming changes nothing, the data of a step depend only on the step, and losses fall."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from nted_lite import NTED, Discriminator
from nted_lite.config import LossWeights, ModelConfig, TrainConfig
from nted_lite.data.people import people_source
from nted_lite.training import Trainer, hidden_textures, learning_rate, train

MODEL = ModelConfig(channels=(8, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
FULL = LossWeights(adversarial=1.0, parts=0.0)


class Pixels(nn.Module):
    """Features so simple that the test needs no trained network: the image at two scales."""

    def forward(self, image):
        return [image, nn.functional.avg_pool2d(image, 2)]


def config(**changes):
    small = {"pairs": 2, "draw_ahead": 2, "weights": FULL, "adversarial_start": 1, "r1_every": 2}
    return TrainConfig(**small | changes)


def trainer(**changes):
    return Trainer(MODEL, config(**changes), people_source(32), Pixels(), Accelerator(cpu=True))


def small_run(out, **changes):
    return train(trainer(**changes), out, people_source(32))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_resumed_run_equals_undisturbed_run(tmp_path):
    undisturbed = trainer()
    for _ in range(5):
        undisturbed.train_step()
    first = trainer()
    for _ in range(3):  # stops in the middle of people drawn ahead
        first.train_step()
    first.save(tmp_path)
    second = trainer()
    second.load(tmp_path)
    assert second.step == 3
    for _ in range(2):
        second.train_step()
    for name, model in undisturbed.models.items():
        assert same(model, second.models[name]), name


def test_saved_folder_is_a_model(tmp_path):
    run = trainer()
    run.train_step()
    run.save(tmp_path)
    assert same(NTED.from_pretrained(tmp_path), run.average.module)
    assert not list(tmp_path.glob("*.new"))


def test_both_directions_share_the_drawing():
    examples = trainer().examples()[0]
    assert torch.equal(examples.reference, examples.target.roll(2, dims=0))
    assert not torch.equal(examples.pose[:2], examples.pose[2:])


def test_steps_use_every_pair_once():
    seen = []

    def spy(index, device):
        seen.extend(index.tolist())
        return people_source(32)(index, device)

    run = Trainer(MODEL, config(), spy, Pixels(), Accelerator(cpu=True))
    for _ in range(4):
        run.train_step()
    assert seen == list(range(8))


def test_two_seeds_and_two_steps_share_no_chance():
    """Texture dropout depends on (seed, number of the example): 4,000 examples of four seeds are all hidden anew."""
    model = ModelConfig(channels=(8, 8), textures=(64, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
    numbers = torch.arange(1000)
    drawn = [hidden_textures(numbers, model, TrainConfig(seed=seed, texture_dropout=0.5)) for seed in (0, 1, 1000, 7)]
    rows = torch.cat([row for operations in drawn for row in operations])
    assert len(rows.unique(dim=0)) == len(rows) == 8000
    assert rows.float().mean().item() == pytest.approx(0.5, abs=0.01)
    again = hidden_textures(numbers[500:501], model, TrainConfig(seed=7, texture_dropout=0.5))
    assert torch.equal(again[1], drawn[3][1][500:501]), "in any company"


def test_texture_dropout_ends_and_leaves_the_average_alone():
    run = trainer(texture_dropout=1.0, texture_dropout_steps=1, weights=LossWeights())
    seen = []
    run.generator.renderer.register_forward_hook(lambda module, inputs, outputs: seen.append(inputs[2]))
    run.train_step(), run.train_step()
    assert all(hidden.all() for hidden in seen[0]) and seen[1] == ()


@pytest.mark.parametrize("name", ["reconstruction", "pixel", "perceptual", "style"])
def test_losses_are_independent_and_zero_leaves_one_out(name):
    """Without one loss the others keep their values."""
    full = trainer(weights=LossWeights(style=2.0)).train_step()
    less = trainer(weights=replace(LossWeights(style=2.0), **{name: 0.0})).train_step()
    assert set(full) - set(less) == {name}
    torch.testing.assert_close(less, {key: value for key, value in full.items() if key != name})
    double = trainer(weights=replace(LossWeights(style=2.0), **{name: 2 * getattr(LossWeights(style=2.0), name)}))
    torch.testing.assert_close(double.train_step(), full | {name: 2 * full[name]})


def test_features_are_not_computed_for_nothing():
    class Never(nn.Module):
        def forward(self, image):
            raise AssertionError("no loss needs features")

    weights = LossWeights(perceptual=0, style=0)
    Trainer(MODEL, config(weights=weights), people_source(32), Never(), Accelerator(cpu=True)).train_step()


def test_a_caller_keeps_its_random_numbers():
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    trainer(texture_dropout=0.5).train_step()
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.slow
def test_loss_falls():
    run = trainer(weights=LossWeights(adversarial=0), lr=5e-3)
    totals = [sum(value.item() for value in run.train_step().values()) for _ in range(40)]
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


@pytest.fixture
def accelerate_anew():
    """Accelerate keeps one precision for a process; forget it, before and after."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.slow
def test_half_precision_is_nearly_the_same(accelerate_anew):
    full = trainer()
    wants = [full.train_step() for _ in range(3)]
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    half = Trainer(MODEL, config(), people_source(32), Pixels(), accelerator)
    for wanted in wants:
        found = half.train_step()
        assert found.keys() == wanted.keys()
        torch.testing.assert_close(found, wanted, rtol=0.03, atol=0.03)
    assert {p.dtype for p in half.generator.parameters()} == {torch.float32}


def test_learning_rate_falls_at_the_end():
    schedule = TrainConfig(steps=100, decay=0.3)
    assert learning_rate(0, schedule) == learning_rate(70, schedule) == 1
    assert learning_rate(85, schedule) == pytest.approx(0.5)
    assert learning_rate(100, schedule) == pytest.approx(0)


def test_learning_rate_warms_up():
    schedule = TrainConfig(steps=100, warm_up=3)
    assert [learning_rate(step, schedule) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_train_writes_what_a_reader_needs(tmp_path):
    model = small_run(tmp_path, steps=2, sample_every=2)
    assert isinstance(model, NTED)
    assert (tmp_path / "samples" / "0000002.png").is_file() and list((tmp_path / "log").iterdir())


def test_not_a_number_stops_with_the_step():
    run = trainer()
    with torch.no_grad():
        run.generator.renderer.stages[0].to_rgb.bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="step 0: the loss of the generator is nan"):
        run.train_step()


def test_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match="nothing to resume"):
        trainer().load(tmp_path)


def test_fewer_steps_than_are_done(tmp_path):
    run = trainer()
    run.train_step(), run.train_step()
    run.save(tmp_path)
    with pytest.raises(ValueError, match="has already reached step 2; set --steps to at least that"):
        trainer(steps=1).load(tmp_path)


def test_start_from_given_weights():
    torch.manual_seed(5)
    init, judge = NTED(MODEL), Discriminator(MODEL)
    run = Trainer(MODEL, config(), people_source(32), Pixels(), Accelerator(cpu=True), init, judge)
    assert same(run.generator, init) and same(run.average.module, init) and same(run.discriminator, judge)
    assert run.optimisers["generator"].state_dict()["state"] == {}


def test_start_from_a_smaller_model():
    """What stands at the same rows and has the same shape is taken; the new resolution starts at random."""
    torch.manual_seed(5)
    small = replace(MODEL, channels=(8, 12), textures=(4, 0), kernels=(3, 3), discriminator_channels=(8,) * 4)
    more = {"channels": (8, 12, 6), "textures": (4, 5, 0), "kernels": (3, 3, 3), "discriminator_channels": (8,) * 5}
    large = replace(small, **more)
    start, grown = NTED(small), NTED(large)
    before = {name: value.clone() for name, value in grown.state_dict().items()}
    random = grown.start_from(start)
    ours, theirs = grown.state_dict(), start.state_dict()
    assert torch.equal(ours["renderer.stages.1.conv0.conv.weight"], theirs["renderer.stages.1.conv0.conv.weight"])
    rows_16 = "reference_encoder.levels.{}.extractions.1.values.weight"
    assert torch.equal(ours[rows_16.format(1)], theirs[rows_16.format(0)])
    assert all(torch.equal(ours[name], before[name]) for name in random) and 0 < len(random) < len(ours)
    assert len([name for name in ours if not torch.equal(ours[name], before[name])]) > len(ours) / 4
    with pytest.raises(RuntimeError, match="size mismatch"):
        NTED(replace(small, channels=(8, 16))).start_from(start)
    with pytest.raises(ValueError, match="a model of 32 rows cannot start from one of 64"):
        start.start_from(grown)


def test_checkpoint_of_another_model(tmp_path):
    run = trainer()
    run.save(tmp_path)
    other = ModelConfig(channels=(16, 8), textures=(4, 0), kernels=(1, 3), discriminator_channels=(8, 8, 8, 8))
    with pytest.raises(ValueError, match="another model"):
        Trainer(other, config(), people_source(32), Pixels(), Accelerator(cpu=True)).load(tmp_path)


def test_truncated_checkpoint(tmp_path):
    trainer().save(tmp_path)
    content = (tmp_path / "state.safetensors").read_bytes()
    (tmp_path / "state.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="state.safetensors: damaged"):
        trainer().load(tmp_path)


@pytest.mark.parametrize("pairs", [0, 3])
def test_batches_that_cannot_be_shared(pairs):
    with pytest.raises(ValueError, match="pairs"):
        trainer(pairs=pairs)


def test_losses_that_do_not_suit_a_model_are_refused():
    for weights, message in ((LossWeights(parts=1), "parts needs 8 textures, .* operations with 4: use --parts 0"),):
        with pytest.raises(ValueError, match=message):
            trainer(weights=weights)
    without = replace(MODEL, textures=(0, 0))
    with pytest.raises(ValueError, match="reconstruction compares maps, .* none: use --reconstruction 0"):
        Trainer(without, config(), people_source(32), Pixels(), Accelerator(cpu=True))
    with pytest.raises(ValueError, match="no textures to extract"):
        NTED(without).extract(torch.zeros(1, 3, 32, 22))


@pytest.mark.parametrize(
    "name, value", [("warm_up", -1), ("decay", 1.5), ("ema", -0.1), ("texture_dropout", 2.0)]
)  # fmt: skip
def test_numbers_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize(
    "name", ["steps", "pairs", "accumulate", "perceptual_scales", "checkpoint_every", "parts_steps"]
)  # fmt: skip
def test_counts_are_at_least_one(name):
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        TrainConfig(**{name: 0})
