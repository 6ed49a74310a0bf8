"""The panels: what they do in Python, and in a real browser."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import ipywidgets
import nbformat
import numpy as np
import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from notebooks.make import FOLDER
from nted_lite import NTED, preset, widgets
from nted_lite.features import PeopleParser
from nted_lite.people import SPLITS, pairs
from nted_lite.variants import VARIANTS
from nted_lite.weights.hub import shipped
from nted_lite.widgets import AblationBrowser, Panel, PoseCanvas, PoseEditor, Wardrobe
from nted_lite.widgets.boxes import Column, Row, titled


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return NTED(preset("people-64").model).eval()


@pytest.fixture
def editor(model):
    pair = pairs(SPLITS["test"], torch.arange(1))
    return PoseEditor(model, pair.reference.image[0], pair.target.keypoints[0])


def moved(editor, joint, place):
    return [list(place) if number == joint else xy for number, xy in enumerate(editor.keypoints)]


def test_a_panel_draws_what_its_controls_say():
    seen = []

    def draw(k, how_far):
        seen.append((k, how_far))
        if k == 3:
            return np.full((4, 2, 3), 255 - k, np.uint8)
        figure = Figure(figsize=(1, 1))
        figure.text(0, 0, str(k))
        return figure

    panel = Panel(draw, k=ipywidgets.IntSlider(0, 0, 5), how_far=ipywidgets.FloatSlider(0.5, min=0, max=1))
    first = bytes(panel.image.value)
    assert first.startswith(b"\x89PNG") and panel.controls["how_far"].description == "how far"
    panel.controls["k"].value = 3
    assert Image.open(BytesIO(panel.image.value)).size == (2, 4)
    panel.controls["k"].value = 0
    assert bytes(panel.image.value) == first
    panel.controls["how_far"].value = 1.0
    assert seen == [(0, 0.5), (3, 0.5), (0, 0.5), (0, 1.0)]


def test_a_panel_says_what_went_wrong():
    def draw(k):
        return np.full((4, 2, 3), 12 // k, np.uint8)

    panel = Panel(draw, k=ipywidgets.IntSlider(1, 0, 5))
    shown = bytes(panel.image.value)
    panel.controls["k"].value = 0
    assert panel.problem.value.startswith("ZeroDivisionError: ") and bytes(panel.image.value) == shown
    panel.controls["k"].value = 2
    assert panel.problem.value == "" and bytes(panel.image.value) != shown
    with pytest.raises(ZeroDivisionError):
        Panel(draw, k=ipywidgets.IntSlider(0, 0, 5))


def test_new_keypoints_draw_a_new_picture(editor):
    before, shown = editor.made, bytes(editor.image.value)
    assert shown.startswith(b"\x89PNG") and before.shape == (3, 64, 44)
    start = editor.keypoints
    editor.keypoints = moved(editor, 4, (2.0, 3.0))
    assert editor.canvas.keypoints[4] == [2.0, 3.0]
    assert not torch.equal(editor.made, before) and bytes(editor.image.value) != shown
    editor.keypoints = start
    assert torch.equal(editor.made, before) and bytes(editor.image.value) == shown


def test_start_again_goes_back(editor):
    start = editor.keypoints
    editor.keypoints = moved(editor, 7, (40.0, 3.0))
    (button,) = [child for child in editor.children[1].children if hasattr(child, "click")]
    button.click()
    assert editor.keypoints == start


@pytest.mark.parametrize("place", [(float("nan"), 3.0), (-1.0, -1.0), (None, 4.0), (float("inf"), 0.0)])
def test_a_missing_joint_is_left_out(editor, place):
    before = editor.made
    editor.keypoints = moved(editor, 4, place)
    assert editor.keypoints[4] == [-1.0, -1.0]
    assert editor.made.isfinite().all() and not torch.equal(editor.made, before)


def test_a_person_without_joints_and_a_joint_far_away_draw(editor):
    editor.keypoints = [[-1.0, -1.0]] * 18
    assert editor.made.isfinite().all()
    editor.keypoints = moved(editor, 0, (1e30, -1e30))
    assert editor.keypoints[0] == [1000.0, -1000.0] and editor.made.isfinite().all()


@pytest.mark.parametrize("joints", [[], [[0.0, 0.0]] * 17, [[0.0, 0.0, 0.0]] * 18])
def test_keypoints_of_another_shape_are_refused(joints):
    with pytest.raises(traitlets.TraitError, match="18 pairs"):
        PoseCanvas(keypoints=joints)


def test_the_canvas_needs_no_network():
    source = Path(PoseCanvas._esm if isinstance(PoseCanvas._esm, Path) else PoseCanvas._esm._path).read_text()
    assert "import " not in source and "http" not in source and "fetch(" not in source


@pytest.mark.slow
def test_the_wardrobe_follows_its_sliders(model):
    torch.manual_seed(0)
    panel = Wardrobe(model, PeopleParser().eval(), people=4)
    shown = {name: bytes(image.value) for name, image in panel.pictures.items()}
    assert all(value.startswith(b"\x89PNG") for value in shown.values())

    def changed():
        now = {name: bytes(image.value) for name, image in panel.pictures.items()}
        different = {name for name in now if now[name] != shown[name]}
        shown.update(now)
        return different

    panel.donor.value = 3
    assert {"donor", "truth"} <= changed()
    panel.person.value = 1
    assert {"person", "made", "truth"} <= changed()
    panel.stance.value = 2
    assert changed() == {"made", "truth"}
    panel.part.value = "shoes"
    assert "truth" in changed()
    panel.strength.value = 0.0
    own = panel.made
    panel.donor.value = 0
    assert torch.allclose(panel.made, own, atol=1e-6), "with no strength the donor does not matter"


# ------------------------------------------------------------------------------------------------------------- Colab

VIEW = "application/vnd.jupyter.widget-view+json"
MANAGER = "https://example.org/manager"


@pytest.fixture
def colab(monkeypatch):
    """Colab's module for outputs, as far as anywidget looks at it: present, with a custom widget manager installed."""
    output = SimpleNamespace(
        enable_custom_widget_manager=lambda: None, _widgets=SimpleNamespace(_installed_url=MANAGER)
    )
    monkeypatch.setitem(sys.modules, "google.colab.output", output)


def shown_with(widget):
    """The address from which Colab would load what the widget needs, or None."""
    bundle = widget._repr_mimebundle_()
    data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
    assert data[VIEW]["model_id"] == widget.model_id
    return metadata.get(VIEW, {}).get("colab", {}).get("custom_widget_manager", {}).get("url")


def test_colab_learns_of_a_custom_widget_inside_a_box(editor, colab):
    assert shown_with(editor) == shown_with(editor.canvas) == MANAGER
    deep = ipywidgets.Tab([ipywidgets.VBox([ipywidgets.Label("pose"), editor.canvas])])
    assert [shown_with(box([ipywidgets.Label("who"), deep])) for box in (Row, Column)] == [MANAGER] * 2
    assert shown_with(titled("drag a joint", editor.canvas)) == MANAGER


def test_a_box_without_custom_widgets_is_shown_as_ever(editor, colab):
    assert shown_with(titled("a title", ipywidgets.Image())) is None


def test_nothing_changes_outside_colab(editor):
    assert shown_with(editor) is None


def test_every_panel_is_such_a_box():
    public = [getattr(widgets, name) for name in widgets.__all__]
    boxes = [panel for panel in public if issubclass(panel, ipywidgets.Box)]
    assert boxes and all(issubclass(panel, Row | Column) for panel in boxes)


# --------------------------------------------------------------------------------------------------------- a browser

PANELS = """
import torch
from nted_lite import NTED, preset
from nted_lite.features import PeopleParser
from nted_lite.people import SPLITS, pairs
from nted_lite.widgets import PoseEditor, Wardrobe
torch.manual_seed(0)
model, pair = NTED(preset("people-64").model).eval(), pairs(SPLITS["test"], torch.arange(1))
editor = PoseEditor(model, pair.reference.image[0], pair.target.keypoints[0])
editor
---
Wardrobe(model, PeopleParser().eval(), people=4)
"""
RUN_ALL = """async () => {
    const context = jupyterapp.shell.currentWidget.context;
    await context.ready;
    await context.sessionContext.ready;
    await context.sessionContext.session.kernel.info;
    await jupyterapp.commands.execute("notebook:run-all-cells");
}"""
ALL_RUN = """() => [...jupyterapp.shell.currentWidget.context.model.cells].every(
    cell => cell.type != "code" || cell.executionCount
)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a folder of notebooks. -> the folder, and the address of its notebooks"""
    root = tmp_path_factory.mktemp("lab")
    work = root / "course"
    work.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0,
        "ServerApp.root_dir": work, "ServerApp.allow_root": True, "IdentityProvider.token": "course",
        "LabApp.expose_app_in_browser": True,
    }  # fmt: skip
    folders = {f"JUPYTER_{name}_DIR": str(root / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", *(f"--{name}={value}" for name, value in options.items())],
        env=os.environ | folders | {"NTED_PROFILE": "quick"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{base}/api/status?token=course", timeout=5)
                break
            except OSError:
                assert server.poll() is None, "JupyterLab did not start"
                time.sleep(0.5)
        yield work, f"{base}/lab/tree/{{}}?token=course&reset"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture
def run_in_browser(lab, chromium):
    """run(notebook): the page of a notebook in JupyterLab, with every cell run."""
    playwright = pytest.importorskip("playwright.sync_api")
    work, address = lab
    with playwright.sync_playwright() as started:
        browser = chromium(started)

        def run(notebook):
            name = f"{len(list(work.iterdir()))}.ipynb"  # JupyterLab keeps a document open: each needs its own name
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs, cell.execution_count = [], None
            nbformat.write(notebook, work / name)
            page = browser.new_page(viewport={"width": 1400, "height": 1300})
            page.set_default_timeout(120_000)
            playwright.expect.set_options(timeout=30_000)
            page.goto(address.format(name))
            page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
            page.evaluate(RUN_ALL)
            page.wait_for_function(ALL_RUN)
            return page, playwright.expect

        yield run
        browser.close()


@pytest.mark.browser
def test_panels_in_jupyterlab(run_in_browser, tmp_path):
    """Drag a wrist and move a slider: both pictures change."""
    source = [nbformat.v4.new_code_cell(part.strip()) for part in PANELS.split("---")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    page, expect = run_in_browser(nbformat.v4.new_notebook(cells=source, metadata=kernel))
    canvas = page.locator(".jp-OutputArea canvas").first
    canvas.wait_for()
    page.locator(".jp-OutputArea img").nth(5).wait_for()  # 2 beside the canvas, 4 below the sliders

    made = page.locator(".jp-OutputArea img").nth(1)
    before = made.get_attribute("src")
    box = canvas.bounding_box()
    x, y = pairs(SPLITS["test"], torch.arange(1)).target.keypoints[0, 4].tolist()
    page.mouse.move(box["x"] + (x + 0.5) * 6, box["y"] + (y + 0.5) * 6)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 30, steps=5)
    page.mouse.up()
    expect(made).not_to_have_attribute("src", before)

    worn = page.locator(".jp-OutputArea img").nth(4)
    before = worn.get_attribute("src")
    page.locator(".widget-slider .noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    expect(worn).not_to_have_attribute("src", before)
    page.screenshot(path=os.environ.get("NTED_SCREENSHOT", tmp_path / "panels.png"))


LESSONS = [path for path in sorted(FOLDER.glob("[0-9]*.ipynb")) if "widgets import Panel" in path.read_text()]


@pytest.mark.browser
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_panels_of_a_lesson(path, run_in_browser, tmp_path):
    """Run the whole lesson, then move a slider of each of its panels: the picture below changes."""
    notebook = nbformat.read(path, as_version=4)
    written = sum(cell.source.count("Panel(") for cell in notebook.cells if cell.cell_type == "code")
    page, expect = run_in_browser(notebook)
    panels = page.locator(".jp-OutputArea .widget-vbox", has=page.locator("img.widget-image"))
    expect(panels).to_have_count(written)
    for number in range(written):
        panel = panels.nth(number)
        panel.scroll_into_view_if_needed()
        image = panel.locator("img.widget-image")
        before = image.get_attribute("src")
        for key in ("ArrowRight", "ArrowLeft"):  # a slider may stand at its right end
            panel.locator(".noUi-handle").first.focus()
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
            if image.get_attribute("src") != before:
                break
        expect(image).not_to_have_attribute("src", before)
        shots = Path(os.environ.get("NTED_SCREENSHOTS", tmp_path))
        page.screenshot(path=shots / f"{path.stem}-{number}.png")


# ------------------------------------------------------------------------------------------------ the ablation browser


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """Three variants, untrained and narrow, each with measures of its own: name -> folder."""
    root = tmp_path_factory.mktemp("variants")
    measured = json.loads((shipped("people-64") / "metrics.json").read_text())
    for number, name in enumerate(("full", "modulated", "k-4-seed-1")):
        torch.manual_seed(number)
        variant = VARIANTS[name.removesuffix("-seed-1")]
        config = replace(variant.model, channels=(8, 8, 8), discriminator_channels=(8, 8, 8, 8, 8))
        variant.network(config).save_pretrained(root / name)
        measured["similarity"]["model"]["psnr"] = {"mean": 10.0 + number, "low": 9.9, "high": 10.1}
        if name == "modulated":
            measured |= {"transport": {}, "entities": [], "groups": []}
        (root / name / "metrics.json").write_text(json.dumps(measured))
    return {folder.name: folder for folder in sorted(root.iterdir())}


def test_the_ablation_browser_follows_its_controls(variants):
    browser = AblationBrowser(people=4, variants=variants)
    variant, person, pose = (browser.controls[name] for name in ("variant", "person", "pose_of"))
    variant.value = "full"
    before, shown, row = browser.made, bytes(browser.image.value), browser.row.value
    assert before.shape == (3, 64, 44) and shown.startswith(b"\x89PNG") and "10.00 ± 0.10" in row
    variant.value = "k-4-seed-1"
    assert not torch.equal(browser.made, before) and bytes(browser.image.value) != shown
    assert "12.00 ± 0.10" in browser.row.value and "10.00 ± 0.10" in browser.row.value, "beside the full model's row"
    variant.value = "modulated"
    assert "11.00 ± 0.10" in browser.row.value and "–" in browser.row.value, "without maps there is no transport"
    for control in (person, pose):
        before = browser.made
        control.value = 3
        assert not torch.equal(browser.made, before)
    assert browser.problem.value == ""


def test_the_picture_of_the_browser_is_the_variants(variants):
    browser = AblationBrowser(people=4, variants={"full": variants["full"]})
    pair = pairs(SPLITS["test"], torch.arange(1))
    model = NTED.from_pretrained(variants["full"])
    with torch.no_grad():
        wanted = model(pair.reference.image, model.pose_map(pair.target.keypoints, pair.target.visible)).image[0]
    torch.testing.assert_close(browser.made, wanted, rtol=1e-4, atol=1e-4)


def test_a_browser_without_variants_says_how_to_train_one():
    with pytest.raises(ValueError, match="train.py variants/full"):
        AblationBrowser(variants={})


@pytest.mark.browser
def test_the_ablation_browser_in_jupyterlab(variants, run_in_browser, tmp_path):
    """Choose another variant: the picture and the row of the table change."""
    source = f"""
from pathlib import Path
from nted_lite.widgets import AblationBrowser
root = Path({str(variants["full"].parent)!r})
AblationBrowser(people=4, variants={{folder.name: folder for folder in sorted(root.iterdir())}})
"""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source.strip())]
    page, expect = run_in_browser(nbformat.v4.new_notebook(cells=cells, metadata=kernel))
    image, table = page.locator(".jp-OutputArea img.widget-image"), page.locator(".jp-OutputArea table")
    expect(image).to_have_count(1)
    expect(table).to_contain_text("full: the full model")
    for chosen in ("k-4-seed-1", "modulated"):
        before = image.get_attribute("src")
        page.locator(".jp-OutputArea select").select_option(chosen)
        expect(table).to_contain_text(f"{chosen}: ")
        expect(image).not_to_have_attribute("src", before)
    page.screenshot(path=os.environ.get("NTED_SCREENSHOT", tmp_path / "ablations.png"))
