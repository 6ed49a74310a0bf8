"""Planted errors: each key idea is broken on purpose, and the check that guards it must notice.

A planted error is a function's own text with one phrase changed. The check passes on the real code and must fail on the
planted one; a check that does not fail would be worthless.
"""

import inspect
import textwrap

import pytest
import torch
from accelerate import Accelerator
from test_golden import CONFIG, golden, relative_error
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nted_lite import NTED, Discriminator, TrainConfig, control, discriminator, layers, losses, model, texture, training
from nted_lite.config import LossWeights
from nted_lite.data import examples as data
from nted_lite.data.examples import Views
from nted_lite.pose import pose_map
from nted_lite.training import Trainer


def plant(monkeypatch, function, right, wrong):
    """Replace a phrase of a function, for everybody who has already imported it too, until the test is over."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{function.__qualname__} holds {right!r} {source.count(right)} times"
    scope = {}
    exec(compile(source.replace(right, wrong), "<planted>", "exec"), function.__globals__, scope)
    monkeypatch.setattr(function, "__code__", scope[function.__name__].__code__)


# -------------------------------------------------------------------------------------------------------------- checks


def golden_generator():
    """Image, textures, maps and the reconstruction loss equal the golden ones."""
    state, inputs, theirs = golden("generator_64")
    ours = NTED.from_official(state, CONFIG)(inputs["source_image"], inputs["target_skeleton"])
    pairs = [(ours.image, theirs["fake_image"])]
    for i in range(4):
        pairs += [
            (ours.textures[i].mT, theirs[f"neural_textures.{i}"]),
            (ours.extraction[i].flatten(2), theirs[f"extraction_softmax.{i}"]),
            (ours.distribution[i], theirs[f"semantic_distribution.{i}"].softmax(dim=1)),
        ]
    loss = losses.attention_reconstruction(
        ours.extraction, ours.distribution, inputs["source_image"], inputs["target_image"]
    )
    for mine, true in (*pairs, (loss, theirs["attention_reconstruction_loss"])):
        assert relative_error(mine, true) < 1e-5


def golden_discriminator():
    """Logits and the R1 penalty equal the golden ones."""
    state, inputs, theirs = golden("discriminator_64")
    judge = Discriminator.from_official(state, CONFIG)
    assert relative_error(judge(inputs["image"]), theirs["logits"]) < 1e-5
    assert relative_error(losses.r1_penalty(judge, inputs["image"]), theirs["r1_penalty"]) < 1e-5


def maps_sum_to_one():
    features, logits, textures = torch.randn(2, 5, 4, 3), torch.randn(2, 3, 4, 3), torch.randn(2, 3, 5)
    torch.testing.assert_close(texture.extract(features, logits)[1].sum((2, 3)), torch.ones(2, 3))
    torch.testing.assert_close(texture.distribute(textures, logits)[1].sum(1), torch.ones(2, 4, 3))


def normalise_ignores_size_and_offset():
    features = torch.randn(2, 5, 4, 3)
    torch.testing.assert_close(texture.normalise(7 * features + 3), texture.normalise(features))


def flat_pictures_stay_flat():
    flat = torch.ones(1, 2, 12, 12)
    for result in (
        layers.blur(flat, layers.blur_kernel(), (2, 1)),
        layers.upsample(flat, layers.blur_kernel(gain=4.0)),
    ):
        inside = result[..., 3:-3, 3:-3]
        torch.testing.assert_close(inside, torch.ones_like(inside))


def activation_keeps_variance():
    made = layers.Activation(4)(torch.randn(8, 4, 64, 64))
    assert made.square().mean().item() == pytest.approx(1.04, abs=0.03)


def convolution_keeps_variance():
    assert layers.EqualConv2d(64, 64, 3)(torch.randn(4, 64, 16, 16)).var().item() == pytest.approx(1, abs=0.1)


def gram_ignores_the_size():
    features = torch.randn(2, 5, 4, 3)
    torch.testing.assert_close(losses.gram(features.tile(2, 2)), losses.gram(features))


def r1_of_a_linear_judge():
    weight = torch.randn(3, 4, 3)
    penalty = losses.r1_penalty(lambda image: (image * weight).sum((1, 2, 3))[:, None], torch.randn(5, 3, 4, 3))
    torch.testing.assert_close(penalty, weight.square().sum())


def coefficient_one_is_the_garment():
    reference, garment = (model.Textures((torch.randn(2, 3, 5),), ()) for _ in range(2))
    for value, pure in ((0.0, reference), (1.0, garment)):
        fused = control.fuse(reference, garment, [torch.full((2, 3), value)])
        assert torch.equal(fused.vectors[0], pure.vectors[0])


# ------------------------------------------------------------------------------------------------- checks on a training


class Pixels(nn.Module):
    def forward(self, image):
        return [image]


def noise(index, device):
    """A source of pictures without people: the views of pair i depend on i alone."""
    seeds = [torch.Generator().manual_seed(int(i)) for i in index]
    draw = lambda c: torch.stack([torch.rand(2, c, 32, 22, generator=seed) for seed in seeds], dim=1)  # noqa: E731
    keypoints = torch.stack([torch.rand(2, 18, 2, generator=seed) for seed in seeds], dim=1) * 22
    return Views(draw(3) * 2 - 1, keypoints, torch.zeros(2, len(index), 32, 22, dtype=torch.long))


@pytest.fixture
def trainer(tiny):
    def make(**changes):
        config = {"pairs": 2, "draw_ahead": 1, "weights": LossWeights(adversarial=1.5), "adversarial_start": 0}
        return Trainer(tiny, TrainConfig(**config | changes), noise, Pixels(), Accelerator(cpu=True))

    return make


def average_follows_slowly(trainer):
    """After each step the average keeps `ema` of itself and takes `1 - ema` of the model; it starts as the model."""
    run = trainer(ema=0.9, lr=0.01)
    wanted = None
    for _ in range(4):
        run.train_step()
        now = [p.detach().clone() for p in run.generator.parameters()]
        wanted = now if wanted is None else [0.9 * w + 0.1 * n for w, n in zip(wanted, now)]
    torch.testing.assert_close(list(run.average.module.parameters()), wanted)


def penalty_counts_for_the_steps_without(trainer):
    """Every `r1_every` steps the discriminator's loss holds `r1 / 2 * r1_every` times the penalty, else nothing."""
    run = trainer(r1=10.0, r1_every=3)
    for number in range(5):
        before = losses.r1_penalty(run.discriminator.requires_grad_(True), run.examples()[0].target)
        found = run.train_step()
        assert ("r1" in found) == (number % 3 == 0)
        if "r1" in found:
            torch.testing.assert_close(found["r1"].detach(), 10 / 2 * 3 * before.detach())


def both_directions_want_the_other_view(trainer):
    index = torch.arange(2)
    views = noise(index, torch.device("cpu"))
    examples = data.both_directions(index, views, lambda keypoints: pose_map(keypoints, height=32)).of_pairs()
    for i, (person, before, after) in enumerate([(0, 0, 1), (1, 0, 1), (0, 1, 0), (1, 1, 0)]):
        assert torch.equal(examples.reference[i], views.images[before, person])
        assert torch.equal(examples.pose[i], pose_map(views.keypoints[after, person][None], height=32)[0])
        assert torch.equal(examples.target[i], views.images[after, person])


def perceptual_loss_teaches_the_generator(trainer):
    run = trainer(weights=LossWeights(reconstruction=0, pixel=0, style=0))
    (examples,) = run.examples()
    made = run.generator(examples.reference, examples.pose)
    found = training.generator_losses(made, examples, run.features, run.config)
    assert found["perceptual"].requires_grad
    torch.testing.assert_close(found["perceptual"], nn.functional.l1_loss(made.image, examples.target))


# ------------------------------------------------------------------------------------------------------------- plants

SWAPPED = "zip(*[pair for i in range(len(found) - 2, -1, -2) for pair in found[i : i + 2]], strict=True)"
OVER_POSITIONS = "flatten(2).softmax(dim=-1).reshape(logits.shape)"
UPSIDE_DOWN = 'F.interpolate(image.flip(2), size=extraction.shape[-2:], mode="nearest")'
RESIZED = 'F.interpolate(image, size=extraction.shape[-2:], mode="nearest")'

ERRORS = {
    "extraction sums to 1 over the entities": (
        texture.extract, "softmax(dim=-1)", "softmax(dim=1)", [golden_generator, maps_sum_to_one]),
    "distribution sums to 1 over the positions": (
        texture.distribute, "softmax(dim=1)", OVER_POSITIONS, [golden_generator, maps_sum_to_one]),
    "features not centred": (
        texture.normalise, "features - features.mean(dim=1, keepdim=True)", "features",
        [golden_generator, normalise_ignores_size_and_offset]),
    "features not of unit length": (
        texture.normalise, "F.normalize(centred, dim=1, eps=1e-8)", "centred",
        [golden_generator, normalise_ignores_size_and_offset]),
    "values read from normalised features": (
        texture.Extraction.forward, "self.values(features)", "self.values(normalise(features))", [golden_generator]),
    "entities read from raw features": (
        texture.Extraction.forward, "self.semantic(normalise(features))", "self.semantic(features)",
        [golden_generator]),
    "mixture added without 1/sqrt(2)": (
        texture.Distribution.forward, " / math.sqrt(2)", "", [golden_generator]),
    "features left out of the sum": (
        texture.Distribution.forward, "(features + mixture)", "mixture", [golden_generator]),
    "conv0 takes extraction 0, conv1 takes 1": (
        model.NTED.extract, "zip(*reversed(found), strict=True)", SWAPPED, [golden_generator]),
    "pixels reconstructed upside down": (texture.reconstruct, RESIZED, UPSIDE_DOWN, [golden_generator]),
    "pixels resized smoothly": (texture.reconstruct, '"nearest"', '"bilinear"', [golden_generator]),
    "no sqrt(2) after the leaky ReLU": (
        layers.Activation.forward, "gain = math.sqrt(2)", "gain = 1.0",
        [golden_generator, golden_discriminator, activation_keeps_variance]),
    "blur not normalised": (
        layers.blur_kernel, "gain / kernel.sum()", "gain",
        [golden_generator, golden_discriminator, flat_pictures_stay_flat]),
    "up-sampling by the blur of gain 1": (
        layers.upsample, "kernel.to(image.dtype)", "kernel.to(image.dtype) / 4",
        [golden_generator, flat_pictures_stay_flat]),
    "convolution not equalised": (
        layers.EqualConv2d.forward, "self.weight * self.scale", "self.weight",
        [golden_generator, golden_discriminator, convolution_keeps_variance]),
    "filters of the up-convolution mirrored": (
        layers.UpConv2d.forward, "(self.weight * self.scale)", "(self.weight * self.scale).flip(2)",
        [golden_generator]),
    "discriminator: skip added without 1/sqrt(2)": (
        discriminator.Halving.forward, " / math.sqrt(2)", "", [golden_discriminator]),
    "discriminator: neighbours grouped": (
        discriminator.minibatch_deviation, '"(g n) c h w -> g n c h w"', '"(n g) c h w -> g n c h w"',
        [golden_discriminator]),
    "Gram matrix not divided": (losses.gram, " / math.sqrt(h * w * c)", "", [gram_ignores_the_size]),
    "R1: mean over the pixels": (
        losses.r1_penalty, '"sum").mean()', '"mean").mean()', [golden_discriminator, r1_of_a_linear_judge]),
    "R1: sum over the batch": (
        losses.r1_penalty, '"sum").mean()', '"sum").sum()', [golden_discriminator, r1_of_a_linear_judge]),
    "R1: norm not squared": (
        losses.r1_penalty, '"sum").mean()', '"sum").sqrt().mean()', [golden_discriminator, r1_of_a_linear_judge]),
    "coefficients the wrong way round": (
        control.fuse, "torch.lerp(r, g,", "torch.lerp(g, r,", [coefficient_one_is_the_garment]),
}  # fmt: skip

ERRORS_OF_TRAINING = {
    "average keeps 1 - decay": (
        Trainer.__init__, "get_ema_multi_avg_fn(config.ema)", "get_ema_multi_avg_fn(1 - config.ema)",
        average_follows_slowly),
    "average never moves": (
        Trainer.train_step, "self.average.update_parameters(self.generator)", "pass", average_follows_slowly),
    "R1 not multiplied by its interval": (
        Trainer.train_step, "config.r1 / 2 * config.r1_every", "config.r1 / 2",
        penalty_counts_for_the_steps_without),
    "R1 not halved": (
        Trainer.train_step, "config.r1 / 2 *", "config.r1 *", penalty_counts_for_the_steps_without),
    "R1 at every step": (
        Trainer.train_step, "self.step % config.r1_every == 0", "True", penalty_counts_for_the_steps_without),
    "R1 on made images": (
        Trainer.train_step, "r1_penalty(bare, examples.target)", "r1_penalty(bare, fake)",
        penalty_counts_for_the_steps_without),
    "pose of the reference": (
        data.both_directions, "draw(views.keypoints.flip(0))", "draw(views.keypoints)",
        both_directions_want_the_other_view),
    "made image's features without a gradient": (
        training.generator_losses, "for image in (generated.image, target))",
        "for image in (generated.image.detach(), target))",
        perceptual_loss_teaches_the_generator),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_caught(name, monkeypatch):
    function, right, wrong, checks = ERRORS[name]
    for check in checks:
        check()
    plant(monkeypatch, function, right, wrong)
    for check in checks:
        with pytest.raises(AssertionError):
            check()


@pytest.mark.parametrize("name", ERRORS_OF_TRAINING)
def test_error_of_training_is_caught(name, trainer, monkeypatch):
    function, right, wrong, check = ERRORS_OF_TRAINING[name]
    check(trainer)
    plant(monkeypatch, function, right, wrong)
    with pytest.raises(AssertionError):
        check(trainer)


def test_plant_is_pulled_out_again():
    """Errors of one test never reach another, and what is changed must be there to change."""
    for check in (golden_generator, golden_discriminator):
        with pytest.MonkeyPatch.context() as patch:
            plant(patch, layers.blur_kernel, "gain / kernel.sum()", "gain")
            with pytest.raises(AssertionError):
                check()
        check()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError, match="0 times"):
        plant(patch, layers.blur_kernel, "not in there", "")
    assert training.get_ema_multi_avg_fn is get_ema_multi_avg_fn
