"""`nted-lite demo`: what the shipped model can do, in less than a minute, on people it has never seen."""

from pathlib import Path

import torch
from tqdm.auto import tqdm

from nted_lite import plotting
from nted_lite.checkpoint import load_model
from nted_lite.control import wear
from nted_lite.evaluation.people import evaluate_people, held_out, report
from nted_lite.features import people_parser
from nted_lite.weights.hub import shipped

SHOWN = (0, 1, 2, 3, 4, 5, 6, 7)


@torch.no_grad()
def run(out: Path, people: int = 128) -> None:
    """Write the pictures to `out`, print the measures over this many held-out people, and say what to do next."""
    model = load_model(shipped("people-64"))
    parser = people_parser()
    test = held_out(torch.tensor(SHOWN), model.config)
    generated = model(test.reference, test.pose)
    worn, _ = wear(model, parser, test.reference, test.donor, test.pose, "top")
    figures = {
        "repose.png": plotting.show_transfer(test.reference, test.pose, generated.image, test.target),
        "swap.png": plotting.show_swap(test.reference, test.donor, generated.image, worn.image, test.swapped),
        "entities.png": plotting.show_entities(test.target, test.target_parts, generated.distribution),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in tqdm(figures.items(), desc="drawing", disable=None):
        figure.savefig(out / name)
    print(report(evaluate_people(model, parser, people)))
    print(f"""
Pictures of people the model has never seen:
  {out / "repose.png"}     each person in another pose
  {out / "swap.png"}       each person in somebody else's top
  {out / "entities.png"}   what each texture paints, next to the ground-truth parts

Next: `make lab` opens the course (start with 00_tour), `make train` trains your own model.""")
