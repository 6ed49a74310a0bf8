"""The panels: what they do in Python, and in a real browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
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
from nted_lite.checkpoint import load_model
from nted_lite.entities import GROUPS
from nted_lite.features import people_parser
from nted_lite.people import PARTS, SPLITS, pairs
from nted_lite.weights.hub import shipped
from nted_lite.widgets import Panel, PoseCanvas, PoseEditor, Wardrobe
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


@pytest.fixture(scope="module")
def wardrobe():
    return Wardrobe(load_model(shipped("people-64")), people_parser(), people=4)


@pytest.fixture
def changed(wardrobe):
    """changed(): the names of the pictures that are new since the last call."""
    shown = {name: bytes(image.value) for name, image in wardrobe.pictures.items()}
    assert all(value.startswith(b"\x89PNG") for value in shown.values())

    def look():
        now = {name: bytes(image.value) for name, image in wardrobe.pictures.items()}
        different = {name for name in now if now[name] != shown[name]}
        shown.update(now)
        return different

    return look


@pytest.mark.slow
def test_the_wardrobe_follows_its_sliders(wardrobe, changed):
    wardrobe.donor.value = 3
    assert changed() == {"donor", "generated", "ground truth"}
    wardrobe.person.value = 1
    assert changed() == {"person", "generated", "ground truth"}
    wardrobe.stance.value = 2
    assert changed() == {"generated", "ground truth"}
    wardrobe.parts["shoes"].value = 0.4
    assert changed() == {"generated"}, "the ground truth follows from the middle on"
    wardrobe.parts["shoes"].value = 1.0
    assert changed() == {"generated", "ground truth"}
    for slider in wardrobe.parts.values():
        slider.value = 0.0
    own = wardrobe.made
    changed()
    wardrobe.donor.value = 0
    assert torch.equal(wardrobe.made, own) and changed() == {"donor"}, "without any part the donor does not matter"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["top", "bottom", "hair", "skin"])
def test_a_slider_changes_its_part_alone(wardrobe, part):
    inside, outside = [], []
    for person, donor in ((0, 1), (1, 2), (2, 3), (3, 0)):
        wardrobe.person.value, wardrobe.donor.value, wardrobe.stance.value = person, donor, 0
        for slider in wardrobe.parts.values():
            slider.value = 0.0
        own, names = wardrobe.made, GROUPS[part]
        wardrobe.parts[part].value = 1.0
        views = [wardrobe._truth(person, donor, 0, parts) for parts in ((), (part,))]
        index = torch.tensor([PARTS.index(name) for name in names])
        area = torch.isin(views[0].parts, index) | torch.isin(views[1].parts, index)
        change = (wardrobe.made - own).abs().mean(0)
        inside.append(change[area[0]].mean())
        outside.append(change[~area[0]].mean())
    assert torch.stack(inside).mean() > 4 * torch.stack(outside).mean()


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


WARDROBE = """
from nted_lite.checkpoint import load_model
from nted_lite.features import people_parser
from nted_lite.weights.hub import shipped
from nted_lite.widgets import Wardrobe
Wardrobe(load_model(shipped("people-64")), people_parser(), people=4)
"""


@pytest.mark.browser
def test_the_wardrobe_in_jupyterlab(run_in_browser, tmp_path):
    """Five sliders for parts; taking the top back changes the generated picture and the ground truth, in the top."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cell = nbformat.v4.new_code_cell(WARDROBE.strip())
    page, expect = run_in_browser(nbformat.v4.new_notebook(cells=[cell], metadata=kernel))
    images, handles = page.locator(".jp-OutputArea img"), page.locator(".jp-OutputArea .noUi-handle")
    expect(images).to_have_count(4)
    expect(handles).to_have_count(3 + 5)
    expect(page.locator(".jp-OutputArea")).to_contain_text("ground truth")

    def pixels(number):
        read = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
        return np.array(Image.open(BytesIO(bytes(images.nth(number).evaluate(read)))).convert("RGB")).astype(float)

    before = {number: images.nth(number).get_attribute("src") for number in (2, 3)}
    worn, dressed = pixels(2), pixels(3)
    handles.nth(3).focus()  # the top, which starts at the right end
    page.keyboard.press("Home")
    for number, source in before.items():
        expect(images.nth(number)).not_to_have_attribute("src", source)
    page.wait_for_timeout(1500)
    area = np.abs(pixels(3) - dressed).max(-1) > 0
    change = np.abs(pixels(2) - worn).mean(-1)
    page.screenshot(path=os.environ.get("NTED_SCREENSHOT", tmp_path / "wardrobe.png"))
    assert change[area].mean() > 4 * change[~area].mean()


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
