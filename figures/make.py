"""All pictures of the README and of the book, one function each; `make figures` calls them all."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from einops import repeat
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nted_lite import NTED, plotting
from nted_lite.animation import enlarged, frames, write_film
from nted_lite.control import select_pure, wear
from nted_lite.evaluation.people import held_out
from nted_lite.features import people_parser
from nted_lite.people import SPLITS, pairs, render, sample_people, walk
from nted_lite.plotting.system import show_dataflow
from nted_lite.weights.hub import shipped

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
SHOWN = torch.arange(8)  # the first test people, not selected by how well the model does on them


def shown_model() -> NTED:
    """The model that the pictures show."""
    return NTED.from_pretrained(shipped("people-64")).eval()


@torch.no_grad()
def hero() -> Figure:
    """The first four test people in another pose, and then also in the next person's top; one row each.

    A texture has to be purer than usual to be exchanged: less changes outside the top.
    """
    model = largest_model()
    test = held_out(SHOWN[:4], model.config)
    generated = model(test.reference, test.pose).image
    strict = partial(select_pure, purity=0.7)
    worn, _ = wear(model, people_parser(), test.reference, test.donor, test.pose, "top", strict)
    columns = {
        "photo": test.reference, "pose": plotting.stick_figures(test.pose), "generated": generated,
        "ground truth": test.target, "top of": test.donor, "generated in it": worn.image, "ground truth ": test.swapped,
    }  # fmt: skip
    people = torch.stack(list(columns.values()), dim=1)
    rows = {f"{n + 1}": row for n, row in enumerate(people)}
    return plotting.contact_sheet(rows, list(columns), scale=128 // model.config.height)


def largest_model() -> NTED:
    """people-128 where it is, else people-64."""
    large = HERE.parent / "checkpoints" / "people-128"
    return NTED.from_pretrained(large if (large / "config.json").is_file() else shipped("people-64")).eval()


def moving_hero(path: Path, count: int = 64, fps: int = 16) -> None:
    """Write a film that closes: each of the first four test people walks in a circle, generated from one photo.

    Two people stand side by side in each line: the photo, what the model generates, the ground truth.
    """
    model, poses = largest_model(), walk(count, cycles=2, turns=1)
    height, people = model.config.height, sample_people(SPLITS["test"], SHOWN[:4])
    photos, scale = pairs(SPLITS["test"], SHOWN[:4], height).reference.image, round(192 / height)
    (tall, wide), gap, top = (height * scale, height * 11 // 16 * scale), 6, 30
    corners = [(top + n // 2 * (tall + gap), n % 2 * (3 * (wide + gap) + 4 * gap)) for n in range(4)]
    figure, axes = plotting.sheet(corners[1][1] + 3 * (wide + gap) + gap, corners[2][0] + tall + gap)
    for _, left in corners[:2]:
        for column, title in enumerate(("the only photo", "generated", "ground truth")):
            plotting.say(axes, title, left + gap + column * (wide + gap) + wide / 2, top / 2, fontsize=12)
    page = _pixels(figure)
    film = repeat(page, "h w c -> f h w c", f=count).copy()
    for (y, left), number in zip(corners, range(4)):
        truth = render(people[[number] * count], poses, height)
        generated = torch.stack(list(frames(model, photos[number], truth.keypoints, truth.visible, batch=16)))
        shown = (repeat(photos[number], "c h w -> f c h w", f=count), generated, truth.image)
        for column, images in enumerate(shown):
            x = left + gap + column * (wide + gap)
            film[:, y : y + tall, x : x + wide] = np.stack(enlarged(images, scale))
    write_film(path, list(film), fps)


def _pixels(figure: Figure) -> np.ndarray:
    """A figure as h w 3, uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@torch.no_grad()
def entities() -> Figure:
    """What the textures of the shipped model paint, next to the ground-truth parts."""
    model = shown_model()
    test = held_out(SHOWN, model.config)
    generated = model(test.reference, test.pose)
    return plotting.show_entities(test.target, test.target_parts, generated.distribution)


@torch.no_grad()
def system() -> Figure:
    """The whole data flow on one person, every picture taken from the tensors of one forward pass."""
    model = shown_model()
    test = held_out(SHOWN, model.config)
    return show_dataflow(model, test.reference, test.pose, model(test.reference, test.pose), test.target_parts)


def people() -> Figure:
    """Two views of each of the first eight test people, and their ground-truth parts."""
    pair = pairs(SPLITS["test"], SHOWN, height=128)
    return plotting.contact_sheet({
        "photo": pair.reference.image, "target": pair.target.image, "parts": plotting.part_pictures(pair.target.parts),
    }, legend=True)  # fmt: skip


def results_table() -> str:
    """The README's table, from the measures that ship with the model."""
    measured = json.loads((shipped("people-64") / "metrics.json").read_text())
    rows = {
        "the model": "model",
        "copying the photo": "copy",
        "the mean picture": "mean image",
        "told the ground-truth parts, one flat colour each": "part colours",
    }
    lines = [
        f"`people-64` on {measured['people']:,} pairs of people it has never seen "
        f"({measured['size'][0]}x{measured['size'][1]} pixels; mean and 95 % bootstrap interval):",
        "",
        "| | PSNR, dB | SSIM | PSNR on the person | L1 on the person |",
        "|---|---|---|---|---|",
    ]
    for title, row in rows.items():
        values = measured["similarity"][row]
        cells = [_cell(values[n], d) for n, d in (("psnr", 2), ("ssim", 3), ("person_psnr", 2), ("person_l1", 3))]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        "The last row is no model. It is given the ground-truth parts of the target and fills each with that part's "
        "mean colour in the photo: perfect outlines and no detail at all.",
        "",
        "Swapping tops, compared with the ground truth of that person in the other top (L1; colours run from -1 to 1):",
        "",
        "| | inside the garment | everywhere else |",
        "|---|---|---|",
    ]
    swap, ratio = measured["swap"], measured["swap_ratio"]
    titles = {
        "no swap": "before the swap", "swap": "after swapping the garment's textures",
        "drawn in it": "the best to hope for: a photo of the person in that top",
    }  # fmt: skip
    for row, title in titles.items():
        lines.append(f"| {title} | {_cell(swap[row]['inside'], 3)} | {_cell(swap[row]['outside'], 3)} |")
    lines += [
        "",
        f"The swap removes {1 - ratio['inside']:.0%} of the error inside the garment, and changes the error everywhere "
        f"else by {ratio['outside'] - 1:+.0%}.",
        "",
        *_from_the_truth(measured),
    ]
    return "\n".join(lines)


def _from_the_truth(measured: dict) -> list[str]:
    """The results that require full ground truth."""
    transport = max(measured["transport"].values(), key=lambda row: row["accuracy"]["mean"])
    seen, distance = measured["seen"]["model"], measured["fd_people"]["rows"]
    agreement, patterns = max(found["grouped"] for found in measured["groups"]), measured["patterns"]["model"]
    return [
        f"- **Entities.** Nobody tells the model about body parts. (Its perceptual loss does use the features of the "
        f"people parser, a small network that was trained to find them.) Its textures still divide people sensibly: "
        f"assign each to the group of parts that it covers most (background, hair, skin, top, bottom, shoes), and the "
        f"mean IoU with the ground truth is {agreement:.2f}, in the best of its {len(measured['groups'])} pairs of "
        f"extraction and distribution.",
        f"- **Transport.** Where photo and target show the same spot of a person, {transport['accuracy']['mean']:.0%} "
        f"of what is painted there was taken from the right part of the body, again in the best pair; chance would "
        f"give {transport['by chance']['mean']:.0%}.",
        f"- **Hidden sides.** Pixels whose surface the photo shows are off by {seen['seen']['mean']:.3f} (L1), and "
        f"those that it had to guess by {seen['unseen']['mean']:.3f}.",
        f"- **Patterns.** Inside patterned garments, fine detail correlates with the ground truth by "
        f"{patterns['fine']['mean']:.2f} for stripes, checks and dots, and by {patterns['coarse']['mean']:.2f} for "
        f"blocks, logos and jackets; 1 would be perfect.",
        f"- **Realism.** The Frechet distance to training people, in the parser's features, is "
        f"{distance['model']:.1f}. Other rendered people have {distance['copy']:.1f}, the flat colours of the table's "
        f"last row {distance['part colours']:.1f}.",
    ]


def _cell(value: dict[str, float], digits: int) -> str:
    return f"{value['mean']:.{digits}f} ± {(value['high'] - value['low']) / 2:.{digits}f}"


def write_results() -> None:
    """Put the table into the README, between its two markers."""
    text = README.read_text()
    pattern = r"(<!-- results:.*?-->\n).*?(<!-- end of results -->)"
    README.write_text(re.sub(pattern, lambda m: f"{m[1]}\n{results_table()}\n\n{m[2]}", text, flags=re.S))


if __name__ == "__main__":
    for draw in (hero, system, entities, people):
        draw().savefig(HERE / f"{draw.__name__}.png", dpi=plotting.DPI)
        print(f"figures/{draw.__name__}.png")
    moving_hero(HERE / "hero.webp")
    print("figures/hero.webp")
    write_results()
    print("README.md: the table of results")
