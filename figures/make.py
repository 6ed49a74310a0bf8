"""Every picture of the README and of the notebooks' covers: one function each, `make figures` calls them all."""

import json
import re
from pathlib import Path

import torch
from matplotlib.figure import Figure

from nted_lite import NTED, plotting
from nted_lite.control import wear
from nted_lite.evaluation.people import held_out
from nted_lite.features import people_parser
from nted_lite.people import SPLITS, pairs
from nted_lite.plotting.system import show_dataflow
from nted_lite.weights.hub import shipped

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
SHOWN = torch.arange(8)  # of the test people; never chosen by what the model makes of them


def shown_model() -> NTED:
    """The model that the pictures show."""
    return NTED.from_pretrained(shipped("people-64")).eval()


@torch.no_grad()
def hero() -> Figure:
    """The first four test people in another pose, then in the next one's top; a row for each of them."""
    model = shown_model()
    test = held_out(SHOWN[:4], model.config)
    generated = model(test.reference, test.pose).image
    worn, _ = wear(model, people_parser(), test.reference, test.donor, test.pose, "top")
    columns = {
        "photo": test.reference, "pose": plotting.stick_figures(test.pose), "generated": generated,
        "ground truth": test.target, "top of": test.donor, "generated in it": worn.image, "the truth": test.swapped,
    }  # fmt: skip
    people = torch.stack(list(columns.values()), dim=1)
    return plotting.contact_sheet({f"{n + 1}": row for n, row in enumerate(people)}, list(columns), scale=2)


@torch.no_grad()
def entities() -> Figure:
    """What the textures of the shipped model paint, beside the true parts."""
    model = shown_model()
    test = held_out(SHOWN, model.config)
    made = model(test.reference, test.pose)
    return plotting.show_entities(test.target, test.target_parts, made.distribution)


@torch.no_grad()
def system() -> Figure:
    """The whole data flow on one person, every picture taken from the tensors of one forward pass."""
    model = shown_model()
    test = held_out(SHOWN, model.config)
    return show_dataflow(model, test.reference, test.pose, model(test.reference, test.pose), test.target_parts)


def people() -> Figure:
    """Two views of each of the first eight test people, and their true parts."""
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
        "an oracle: true parts of the target, each in its mean colour of the photo": "part colours",
    }
    lines = [
        f"`people-64` on {measured['people']:,} pairs of people it has never seen "
        f"({measured['size'][0]}x{measured['size'][1]} pixels; mean and 95 % bootstrap interval):",
        "",
        "| | PSNR, dB | SSIM | person only, PSNR | person only, L1 |",
        "|---|---|---|---|---|",
    ]
    for title, row in rows.items():
        values = measured["similarity"][row]
        cells = [_cell(values[n], d) for n, d in (("psnr", 2), ("ssim", 3), ("person_psnr", 2), ("person_l1", 3))]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    swap, ratio = measured["swap"], measured["swap_ratio"]
    lines += [
        "",
        "Exchanging tops, against the true picture of that person in the other top (L1; colours run from -1 to 1):",
        "",
        "| | inside the garment | outside it |",
        "|---|---|---|",
    ]
    titles = {"no swap": "no swap", "swap": "swapped textures", "drawn in it": "the photo already shows the other top"}
    for row, title in titles.items():
        lines.append(f"| {title} | {_cell(swap[row]['inside'], 3)} | {_cell(swap[row]['outside'], 3)} |")
    agreement = max(measured["entities"], key=lambda found: found["grouped"])
    lines += [
        "",
        f"Swapping leaves {ratio['inside']:.2f} of the error inside the garment, and {ratio['outside']:.2f} of it "
        f"outside. No loss shows it the true parts (though the network of its perceptual loss once learnt them). Its "
        f"entities agree with them with a mean IoU of "
        f"{agreement['grouped']:.2f} when each joins the part that it covers most "
        f"({max(found['matched'] for found in measured['entities']):.2f} one to one).",
        "",
        *_from_the_truth(measured),
    ]
    return "\n".join(lines)


def _from_the_truth(measured: dict) -> list[str]:
    """What only people who know the truth about themselves can tell."""
    transport = max(measured["transport"].values(), key=lambda row: row["accuracy"]["mean"])
    seen, distance = measured["seen"]["model"], measured["fd_people"]["rows"]
    return [
        f"Our people know every point of their surface. Where both pictures show a point, "
        f"{transport['accuracy']['mean']:.0%} of what its pixel is painted with comes from the right part of the body "
        f"(best operation; {transport['by chance']['mean']:.0%} by chance). Surface that the photo showed is off by "
        f"{seen['seen']['mean']:.3f} (L1), surface that it never showed by {seen['unseen']['mean']:.3f}. The Frechet "
        f"distance to training people, in the parser's features, is {distance['model']:.1f}; for other true pictures "
        f"it is {distance['copy']:.1f}, for the oracle's flat parts {distance['part colours']:.1f}.",
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
    write_results()
    print("README.md: the table of results")
