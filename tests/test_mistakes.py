"""With one phrase of the reader's own code changed, a cell of the notebook that is tagged `proof` fails."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from notebooks.make import FOLDER, execute

# notebook: {mistake: (phrase, what stands there instead)}; the phrase occurs once in the notebook's code
MISTAKES = {
    "01_people_and_poses": {
        "the larger of two distances": ("abs(h - p) + abs(w - q))", "max(abs(h - p), abs(w - q)))"),
        "distances not truncated": (
            "(distance / (3 * min(1, height / 256))).floor()", "distance / (3 * min(1, height / 256))",
        ),
        "missing limbs drawn": ("(column <= right) & present", "(column <= right)"),
        "nearness to the line beyond its ends": ("t.clamp(0, 1)", "t"),
    },
    "02_texture_extraction": {
        "softmax over the wrong axis": (".softmax(dim=-1)", ".softmax(dim=1)"),
        "no centring": (' - reduce(features, "b c h w -> b 1 h w", "mean")', ""),
        "no unit length": (" / length.clamp_min(1e-8)", ""),
        "values read the keys": ("self.values(features)", "self.values(my_normalise(features))"),
    },
    "03_texture_distribution": {
        "softmax over positions": ("logits.softmax(dim=1)", "logits.softmax(dim=-1)"),
        "no 1/sqrt 2": ("(features + mixture) / math.sqrt(2)", "(features + mixture)"),
        "distribution instead of extraction": (
            'einsum(extraction, small, "b k h w, b c h w -> b k c")',
            'einsum(distribution, small, "b k h w, b c h w -> b k c")',
        ),
        "bilinear instead of nearest": ('mode="nearest"', 'mode="bilinear"'),
    },
    "04_encoder": {
        "blur not normalised": ("TAPS = TAPS / TAPS.sum()", "TAPS = TAPS"),
        "no sqrt 2 after the leaky ReLU": (
            " self.bias[:, None, None], 0.2) * math.sqrt(2)", " self.bias[:, None, None], 0.2)",
        ),
        "1/fan_in instead of its root": ("1 / math.sqrt(inputs * kernel**2)", "1 / (inputs * kernel**2)"),
        "coarse textures first": (
            "found += [tensor for pair in extracted for tensor in pair]",
            "found = [tensor for pair in extracted for tensor in pair] + found",
        ),
    },
    "05_renderer": {
        "no activation": ("return self.activate(features), distribution", "return features, distribution"),
        "textures given to the wrong layer": ("first, second = textures or", "second, first = textures or"),
        "blur not normalised": ("[1.0, 3.0, 3.0, 1.0]) / 4", "[1.0, 3.0, 3.0, 1.0]) / 8"),
        "up-sampled picture moved by a pixel": ("before=2, after=1", "before=1, after=2"),
    },
    "06_losses": {
        "Gram matrix not normalised": ('-> b c d") / (h * w * c)', '-> b c d")'),
        "R1 without the lazy factor": ("r1 / 2 * every *", "r1 / 2 *"),
        "the generator pulls the other way": ("F.softplus(-fake_logits)", "F.softplus(fake_logits)"),
        "bilinear instead of nearest": (
            "size=estimate.shape[-2:])", 'size=estimate.shape[-2:], mode="bilinear")',
        ),
    },
    "08_evaluation": {
        "covariance without centring": ("2 * (xy - mx * my)", "2 * xy"),
        "a covariance that divides by n": ("/ (len(points) - 1)", "/ len(points)"),
        "textures taken by the distribution": (
            'einsum(extraction, sources, "b k h w, b h w p -> b k p")',
            'einsum(distribution, sources, "b k h w, b h w p -> b k p")',
        ),
        "an interval of 90 %": ("np.percentile(means, [2.5, 97.5])", "np.percentile(means, [5, 95])"),
    },
    "10_ablations": {
        "photo in the place of the pose": (
            'join(pack([p, r], "b * h w")[0]) for', 'join(pack([r, p], "b * h w")[0]) for',
        ),
        "attention not scaled": (
            '"b c h w, b k c -> b k h w") / math.sqrt(keys.shape[-1])', '"b c h w, b k c -> b k h w")',
        ),
        "the largest feature as style": ('"b c h w -> b 1 c", "mean")', '"b c h w -> b 1 c", "max")'),
        "a margin of 90 %": ("return student.ppf(0.975, df", "return student.ppf(0.95, df"),
    },
    "11_photos": {
        "the neck is a sum": ('"b j xy -> b 1 xy", "mean"', '"b j xy -> b 1 xy", "sum"'),
        "key points keep the corner of the photo": ("(points - torch.tensor([left, top]))", "points"),
        "a part of the names stays published": (r'.levels.\2.down.conv."', r'.levels.\2.conv."'),
        "all frames in the first pose": (
            "pose = model.pose_map(keypoints, visible)",
            "pose = model.pose_map(keypoints[:1], visible[:1]).expand(len(keypoints), -1, -1, -1)",
        ),
    },
    "09_appearance_control": {
        "the coefficients point the other way": ("return mine + rearrange(a,", "return mine + rearrange(1 - a,"),
        "a sum over the mask instead of the mean": (
            'reduce(small, "b h w -> b 1", "sum")', 'reduce(small, "b h w -> b 1", "max")',
        ),
        "one threshold for every k": ("share >= threshold / share.shape[1]", "share >= threshold / 16"),
        "maintain inside the new top, too": ("~(mine | theirs | top)", "~mine"),
    },
    "07_training": {
        "the same direction twice": ("value.flip(0) for name", "value for name"),
        "the average follows too fast": ("old.lerp_(new, 1 - decay if", "old.lerp_(new, decay if"),
        "R1 without the lazy factor": ("config.r1 / 2 * config.r1_every *", "config.r1 / 2 *"),
        "betas not corrected for lazy R1": ("(0.0, 0.99**share)", "(0.0, 0.99)"),
    },
}
CASES = [(name, mistake) for name, mistakes in MISTAKES.items() for mistake in mistakes]


@pytest.mark.slow
@pytest.mark.parametrize("name, mistake", CASES)
def test_a_mistake_fails_a_proof(name, mistake):
    phrase, instead = MISTAKES[name][mistake]
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (cell,) = [cell for cell in notebook.cells if phrase in cell.source]
    assert cell.source.count(phrase) == 1
    cell.source = cell.source.replace(phrase, instead)
    for cell in notebook.cells:
        cell.outputs = []
    with pytest.raises(CellExecutionError):
        execute(notebook, profile="quick", timeout=60)
    stopped = [c for c in notebook.cells for output in c.outputs if output.output_type == "error"]
    errors = [output.ename for output in stopped[0].outputs if output.output_type == "error"]
    assert "proof" in stopped[0].metadata.get("tags", []), stopped[0].source
    assert errors == ["AssertionError"]
