"""Every notebook: what is committed of it, a run from a clean kernel, and its exercises."""

import ast
import copy
import json
import re
import shutil

import nbformat
import pytest
import torch
from torch import nn

from notebooks import make
from notebooks.make import FOLDER, execute, main, normalise
from nted_lite.exercises import check, equal, predict

PATHS = sorted(FOLDER.glob("[0-9]*.ipynb"))
# b batch, c channel, k texture, h w rows and columns, m positions, o i p q filters, l limb, j joint; besides, a count
# n, a second channel d, a group g, a view v, a point's x and y, a limb's two ends.
AXES = set("b c k h w m o i p q l j n d g v xy end".split())
EINOPS = {"rearrange", "reduce", "repeat", "einsum", "parse_shape", "pack", "unpack"}
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def tagged(notebook, start):
    """Places of the cells with a tag that starts so: tag -> place."""
    places = enumerate(notebook.cells)
    return {tag: i for i, cell in places for tag in cell.metadata.get("tags", []) if tag.startswith(start)}


def printed(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


# ------------------------------------------------------------------------------------------------- what is committed


@each_notebook
def test_opens_in_colab(path):
    """The badge leads to this notebook, and the first code cell fetches the package where it is not installed."""
    notebook = read(path)
    title, setup = notebook.cells[:2]
    assert title.source.startswith("# ")
    place = make.repository(FOLDER.parent)
    assert f"(https://colab.research.google.com/github/{place}/blob/main/notebooks/{path.name})" in title.source
    assert f"https://github.com/{place}.git nted-lite" in setup.source
    assert setup.cell_type == "code" and "NTED_PROFILE" in setup.source and "google.colab" in setup.source


@each_notebook
def test_folded_answers_close(path):
    text = "\n".join(cell.source for cell in cells(read(path), "markdown"))
    assert text.count("<details>") == text.count("</details>")


@each_notebook
def test_stays_small_enough_to_read_online(path):
    assert path.stat().st_size < 2.5 * 2**20


@each_notebook
def test_axes_have_the_names_of_the_package(path):
    code = "\n".join(cell.source for cell in cells(read(path), "code")[1:])  # the set-up cell holds a shell command
    patterns, calls = [], [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    for call in calls:
        if getattr(call.func, "id", getattr(call.func, "attr", "")) in EINOPS:
            patterns += [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    names = {name for pattern in patterns for name in re.findall(r"[A-Za-z_]\w*", pattern)}
    assert names - AXES - {"mean", "sum", "max", "min"} == set()
    assert [c for c in calls if getattr(c.func, "attr", "") in {"view", "permute", "bmm", "transpose"}] == []


@each_notebook
def test_outputs_are_whole_and_clean(path):
    notebook = read(path)
    code = cells(notebook, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run top to bottom"
    outputs = [output for cell in code for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    assert [text for text in texts if re.search(r"Warning|Traceback|(?<![\w.:/])/(home|root|tmp|Users)/", text)] == []
    assert all(
        printed(notebook.cells[place]).startswith("not attempted") for place in tagged(notebook, "check").values()
    )


@each_notebook
def test_committed_as_normalised(path):
    notebook = read(path)
    assert normalise(copy.deepcopy(notebook)) == notebook, "save notebooks with `make notebooks`"


@each_notebook
def test_links_lead_somewhere(path):
    text = "\n".join(cell.source for cell in cells(read(path), "markdown"))
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("https://", "#"))]
    assert [link for link in links if not (FOLDER / link).exists()] == []


# -------------------------------------------------------------------------------------------------------- a clean run


def answers(path):
    """The published solutions and planted mistakes: exercise -> [(kind, source)]."""
    text = (FOLDER / "solutions" / f"{path.stem}.py").read_text()
    head, *parts = re.split(r"^# %% ", text, flags=re.M)
    found = {}
    for part in parts:
        title, source = part.split("\n", 1)
        exercise, kind = title.split(": ", 1)
        found.setdefault(exercise, []).append((kind, head + source))
    return found


@pytest.mark.slow
@each_notebook
def test_runs_and_checks_its_exercises(path):
    """One run: the notebook as it is, and behind each check the published answers, each followed by the check."""
    notebook, published = read(path), answers(path)
    exercises, checks = tagged(notebook, "exercise"), tagged(notebook, "check")
    assert set(exercises) == set(published)
    expected = []
    for exercise in sorted(exercises, key=exercises.get, reverse=True):  # from the back: places in front stay
        place = checks[exercise.replace("exercise", "check")]
        kinds = [kind.split(",")[0] for kind, _ in published[exercise]]
        assert place > exercises[exercise] and kinds[0] == "solution" and "mistake" in kinds
        again = [
            nbformat.v4.new_code_cell(source)
            for _, answer in published[exercise]
            for source in (answer, notebook.cells[place].source)
        ]
        for cell, kind in zip(again[1::2], kinds):
            cell.metadata["expected"] = {"solution": "passed", "mistake": "not yet: "}[kind]
        notebook.cells[place].metadata["expected"] = "not attempted"
        notebook.cells[place + 1 : place + 1] = again
    execute(notebook, profile="quick", timeout=60)
    checked = [cell for cell in notebook.cells if "expected" in cell.metadata]
    expected = [cell.metadata["expected"] for cell in checked]
    assert [printed(cell)[: len(start)] for cell, start in zip(checked, expected)] == expected
    stderr = [o.text for cell in cells(notebook, "code") for o in cell.outputs if o.get("name") == "stderr"]
    assert [text for text in stderr if "Warning" in text] == []


TINY = """
import sys
import ipywidgets, torch
from nted_lite import plotting
plotting.style()
print("a message", file=sys.stderr)
plotting.contact_sheet({"noise": torch.rand(2, 3, 8, 4, generator=torch.manual_seed(0))})
---
ipywidgets.HBox([ipywidgets.IntSlider(3), ipywidgets.Label("three")])
"""


@pytest.mark.slow
def test_what_a_slow_cell_prints_is_one_output():
    cell = nbformat.v4.new_code_cell("import time\nprint(1)\ntime.sleep(0.6)\nprint(2)")
    (done,) = execute(nbformat.v4.new_notebook(cells=[cell])).cells
    assert [output.text for output in done.outputs] == ["1\n2\n"]


@pytest.mark.slow
def test_a_second_run_changes_nothing():
    def run():
        source = [nbformat.v4.new_code_cell(part.strip()) for part in TINY.split("---")]
        return normalise(execute(nbformat.v4.new_notebook(cells=source), profile="quick"))

    first, second = run(), run()
    assert json.dumps(first) == json.dumps(second)
    outputs = [output for cell in first.cells for output in cell.outputs]
    assert [output.output_type for output in outputs] == ["execute_result", "execute_result"]
    shown = outputs[1].data["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert shown in first.metadata["widgets"][make.WIDGET_STATE]["state"]
    assert re.fullmatch("0{30}..", shown)


def test_what_is_folded_stays_folded_and_other_metadata_goes():
    cell = nbformat.v4.new_code_cell("1")
    cell.metadata = {"tags": ["proof"], "jupyter": {"source_hidden": True, "outputs_hidden": False}, "time": 3}
    (kept,) = normalise(nbformat.v4.new_notebook(cells=[cell])).cells
    assert kept.metadata == {"tags": ["proof"], "jupyter": {"source_hidden": True}}


def test_addresses_in_memory_go():
    cell = nbformat.v4.new_code_cell("widget")
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": "<a.Widget object at 0x7f587b63d3d0>"})]
    (kept,) = normalise(nbformat.v4.new_notebook(cells=[cell])).cells
    assert kept.outputs[0].data["text/plain"] == "<a.Widget object>"


def test_progress_bars_go():
    cell = nbformat.v4.new_code_cell("tqdm")
    bar, picture = "train:   0%|          | 0/2 [00:00<?, ?8 people/s]", "<Figure size 900x300 with 1 Axes>"
    cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": text}) for text in (bar, picture)]
    (kept,) = normalise(nbformat.v4.new_notebook(cells=[cell])).cells
    assert [output.data["text/plain"] for output in kept.outputs] == [picture]


def test_badges_follow_the_address_of_the_repository(tmp_path):
    root, kept, fork = FOLDER.parent, PATHS[0], "someone/my.fork"
    (tmp_path / "notebooks").mkdir()
    shutil.copy(kept, tmp_path / "notebooks")
    shutil.copy(root / "README.md", tmp_path)
    project = (root / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(project.replace(make.repository(root), fork))
    make.badges(tmp_path)
    badge = f"(https://colab.research.google.com/github/{fork}/blob/main/notebooks/{kept.name})"
    for name, end in (("README.md", " |\n"), (f"notebooks/{kept.name}", "")):
        moved, old = ((folder / name).read_text() for folder in (tmp_path, root))
        assert badge + end in moved and make.repository(root) not in moved
        assert len(moved.split()) == len(old.split()), "only addresses change"
    readme = (tmp_path / "README.md").read_text()
    assert f"git clone https://github.com/{fork} && cd my.fork\n" in readme
    make.badges(tmp_path)
    assert (tmp_path / "README.md").read_text() == readme, "a second time changes nothing"


@pytest.mark.parametrize("address", ["https://gitlab.com/someone/fork", "someone/fork", ""])
def test_badges_need_an_address_on_github(tmp_path, address):
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{address}"\n')
    with pytest.raises(SystemExit, match=r"pyproject.toml: .* Colab needs https://github.com/OWNER/NAME"):
        make.badges(tmp_path)


def test_unknown_notebooks_are_refused():
    with pytest.raises(SystemExit, match="no notebook 99_nothing; there are 00_tour"):
        main(["99_nothing"])


# ------------------------------------------------------------------------------------------------------ the exercises


def fails(error):
    def trial():
        raise error

    return trial


@pytest.mark.parametrize(
    "trial, verdict",
    [
        (lambda: None, "passed"),
        (fails(NotImplementedError()), "not attempted"),
        (lambda: torch.arange(6).softmax(0), "not yet: your code raised NotImplementedError: "),
        (fails(AssertionError()), "not yet: an assert in your code failed"),
        (fails(AssertionError("the sum is not 1")), "not yet: the sum is not 1"),
        (fails(KeyError("b")), "not yet: your code raised KeyError: 'b'"),
    ],
)
def test_check_prints_a_verdict(trial, verdict, capsys):
    assert check(trial) == (verdict == "passed")
    assert capsys.readouterr().out.startswith(verdict)


# --------------------------------------------------------------------------------------------------------- predictions


def test_a_prediction_shows_its_answers_only_after_a_click():
    asked = predict("What is 1 < 2?", {"true": "Right: 1 & 2.", "false": "No."})
    html = asked._repr_html_()
    hidden = re.sub("<summary>.*?</summary>", "", "".join(re.findall("<details>(.*?)</details>", html)))
    assert re.findall("<summary>(.*?)</summary>", html) == ["true", "false"]
    assert "1 &lt; 2" in html and hidden == "<p>Right: 1 &amp; 2.</p><p>No.</p>"
    outside = re.sub("<details>.*?</details>", "", html)
    assert "Right" not in outside and "Right" not in repr(asked) and "- true" in repr(asked)


def test_a_prediction_needs_a_choice():
    with pytest.raises(ValueError, match="two choices"):
        predict("What?", {"this": "yes"})


# --------------------------------------------------------------------------------------------------- proofs of equality


def test_equal_functions_pass(capsys):
    equal(lambda x, w: x @ w, lambda x, w: torch.einsum("ij,jk->ik", x, w), torch.randn(2, 3), torch.randn(3, 4))
    assert capsys.readouterr().out.startswith("equal: values and gradients")


def test_equal_modules_share_their_parameters():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    b.load_state_dict(a.state_dict())
    equal(a, b, torch.randn(4, 3))


@pytest.mark.parametrize(
    "ours, complaint",
    [
        (lambda x: 2 * x.square(), "values differ by 1"),
        (lambda x: x.square() * float("nan"), "values differ by nan"),
        (lambda x: x.square().detach() + 0 * x, "gradients differ"),
        (lambda x: x.square().sum(), "values differ in shape"),
    ],
)
def test_unequal_functions_fail(ours, complaint):
    with pytest.raises(AssertionError, match=complaint):
        equal(ours, lambda x: x.square(), torch.randn(3))


def test_modules_with_other_gradients_fail():
    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 0 * self.weight.sum() - (x @ self.weight.T - (x @ self.weight.T).detach())

    a, b = Detached(3, 2), nn.Linear(3, 2)
    b.load_state_dict(a.state_dict())
    with pytest.raises(AssertionError, match="gradients differ"):
        equal(a, b, torch.randn(4, 3))
