"""The panels: what they do in Python, and in a real browser."""

import json
import os
import re
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
from matplotlib.figure import Figure
from PIL import Image

from notebooks.make import FOLDER
from nted_lite import NTED, preset, widgets
from nted_lite.checkpoint import load_model
from nted_lite.entities import GROUPS
from nted_lite.features import people_parser
from nted_lite.people import PARTS, SPLITS, pairs, sample_poses
from nted_lite.variants import VARIANTS
from nted_lite.weights.hub import shipped
from nted_lite.widgets import AblationBrowser, EntityExplorer, Panel, Puppet, Wardrobe
from nted_lite.widgets.boxes import Column, Row, titled
from nted_lite.widgets.stances import STANCES, lift, stance


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return NTED(preset("people-64").model).eval()


@pytest.fixture
def puppet(model):
    pair = pairs(SPLITS["test"], torch.arange(1))
    return Puppet(model, pair.reference.image[0], pair.target.keypoints[0])


def moved(puppet, joint, place):
    return [list(place) if number == joint else xy for number, xy in enumerate(puppet.keypoints)]


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


def test_new_keypoints_draw_a_new_picture(puppet, model):
    before, shown, answers = puppet.generated, puppet.generated_pixels, puppet.answers
    assert len(shown) == 64 * 44 * 3 and before.shape == (3, 64, 44)
    start = puppet.keypoints
    puppet.keypoints = moved(puppet, 4, (2.0, 3.0))
    assert puppet.keypoints[4] == [2.0, 3.0] and puppet.answers == answers + 1
    assert not torch.equal(puppet.generated, before) and puppet.generated_pixels != shown
    puppet.keypoints = start
    assert torch.equal(puppet.generated, before) and puppet.generated_pixels == shown
    with torch.no_grad():
        pair = pairs(SPLITS["test"], torch.arange(1))
        textures = model.extract(pair.reference.image)
        expected = model.render(model.pose_map(pair.target.keypoints, pair.target.visible), textures).image[0]
    hundredth = 0.02  # joints are rounded to hundredths of a pixel, and convolutions may add in another order
    assert pair.target.visible.all() and (puppet.generated - expected).abs().max() < hundredth


@pytest.mark.parametrize("place", [(float("nan"), 3.0), (-1.0, -1.0), (None, 4.0), (float("inf"), 0.0)])
def test_a_missing_joint_is_left_out_and_its_place_is_guessed(puppet, place):
    before = puppet.generated
    puppet.keypoints = moved(puppet, 4, place)
    assert puppet.keypoints[4] == [-1.0, -1.0]
    assert puppet.generated.isfinite().all() and not torch.equal(puppet.generated, before)
    x, y, _, shown = puppet.joints[4]
    assert not shown and 0 < x < 44 and 0 < y < 64


def test_a_person_without_joints_and_a_joint_far_away_draw(puppet):
    puppet.keypoints = torch.full((18, 2), -1.0)
    nobody = puppet.generated
    assert nobody.isfinite().all()
    puppet.keypoints = moved(puppet, 0, (1e30, -1e30))
    assert puppet.keypoints[0] == [1000.0, -1000.0]
    assert torch.equal(puppet.generated, nobody), "a joint outside the picture counts as missing"


@pytest.mark.parametrize("joints", [[], [[0.0, 0.0]] * 17, [[0.0, 0.0, 0.0]] * 18])
def test_keypoints_of_another_shape_are_refused(puppet, joints):
    with pytest.raises(ValueError, match="18 pairs"):
        puppet.keypoints = joints


def test_a_lifted_body_faces_where_the_person_faces():
    index = torch.arange(60)
    view, yaw = pairs(SPLITS["test"], index).target, sample_poses(SPLITS["test"], index, 1).yaw.rad2deg()
    lifted = [lift(xy, there, 64) for xy, there in zip(view.keypoints, view.visible)]
    wrong = torch.tensor([(facing - true + 180) % 360 - 180 for (_, facing), true in zip(lifted, yaw.tolist())]).abs()
    assert wrong.median() < 10 and wrong.max() < 60
    assert all(torch.equal(joints[there, :2], xy[there]) for (joints, _), xy, there in zip(lifted, *view_of(view)))


def view_of(view):
    return view.keypoints, view.visible


@pytest.mark.parametrize("name", STANCES)
def test_a_stance_stands_in_the_picture_whichever_way_it_turns(name):
    x, y, _ = stance(name, 64, torch.arange(-3.0, 3.0, 0.5)).unbind(-1)
    assert (x > 2).all() and (x < 42).all() and (y > 2).all() and (y < 62).all()
    knees, hips = y[:, [9, 12]].mean(1), y[:, [8, 11]].mean(1)
    assert (((knees - hips) < 7) == (name == "sit")).all(), "thighs of somebody who sits are level"


@pytest.mark.parametrize("source", [*Path(widgets.__file__).parent.glob("*.js")], ids=lambda path: path.name)
def test_a_widget_needs_no_network(source):
    text = source.read_text().replace("http://www.w3.org/2000/svg", "")
    assert "import " not in text and "http" not in text and "fetch(" not in text


@pytest.fixture(scope="module")
def explored(model):
    """Two people with what the model did with them, and the explorer of the second."""
    pair = pairs(SPLITS["test"], torch.arange(2))
    with torch.no_grad():
        transfer = model(pair.reference.image, model.pose_map(pair.target.keypoints, pair.target.visible))
    return transfer, EntityExplorer(pair.reference.image, transfer, pair.target.parts, person=1)


def test_the_explorer_sends_the_maps_of_every_operation(explored):
    transfer, explorer = explored
    assert len(explorer.operations) == len(transfer.extraction) == 4
    for about, taken, given, extraction, distribution in zip(
        explorer.operations, explorer.extraction, explorer.distribution, transfer.extraction, transfer.distribution
    ):
        k, h, w = extraction.shape[1:]
        assert about["size"] == [w, h] and sorted(about["order"]) == list(range(k))
        taken, given = (
            torch.frombuffer(bytearray(values), dtype=torch.uint8).view(k, h, w) for values in (taken, given)
        )
        peaks = torch.tensor(about["peaks"])[:, None, None]
        assert torch.allclose((taken / 255).square() * peaks, extraction[1], atol=float(peaks.max()) / 250)
        assert torch.allclose(given / 255, distribution[1], atol=1 / 500)
        assert about["usage"] == pytest.approx(distribution[1].mean((1, 2)).tolist())


@pytest.mark.parametrize(("people", "person", "says"), [(1, 0, "same people"), (2, 2, "one of 0..1"), (2, -1, "0..1")])
def test_the_explorer_refuses_other_people(explored, people, person, says):
    transfer, _ = explored
    with pytest.raises(ValueError, match=says):
        EntityExplorer(torch.zeros(people, 3, 64, 44), transfer, torch.zeros(2, 64, 44).long(), person)


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
        if not area.any():  # both wear a dress, so there is no bottom to change
            continue
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


def test_colab_learns_of_a_custom_widget_inside_a_box(puppet, colab):
    assert shown_with(puppet) == MANAGER
    deep = ipywidgets.Tab([ipywidgets.VBox([ipywidgets.Label("pose"), puppet])])
    assert [shown_with(box([ipywidgets.Label("who"), deep])) for box in (Row, Column)] == [MANAGER] * 2
    assert shown_with(titled("drag a joint", puppet)) == MANAGER


def test_a_box_without_custom_widgets_is_shown_as_ever(colab):
    assert shown_with(titled("a title", ipywidgets.Image())) is None


def test_nothing_changes_outside_colab(puppet):
    assert shown_with(puppet) is None and shown_with(titled("drag", puppet)) is None


def test_every_panel_is_such_a_box():
    public = [getattr(widgets, name) for name in widgets.__all__]
    boxes = [panel for panel in public if issubclass(panel, ipywidgets.Box)]
    assert boxes and all(issubclass(panel, Row | Column) for panel in boxes)


# --------------------------------------------------------------------------------------------------------- a browser

PANELS = """
import torch
from nted_lite import NTED
from nted_lite.features import PeopleParser
from nted_lite.people import SPLITS, pairs
from nted_lite.weights.hub import shipped
from nted_lite.widgets import Puppet, Wardrobe
model, pair = NTED.from_pretrained(shipped("people-64")), pairs(SPLITS["test"], torch.arange(1))
puppet = Puppet(model, pair.reference.image[0], pair.target.keypoints[0])
puppet
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


KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook_of(cells):
    cells = [nbformat.v4.new_code_cell(part.strip()) for part in cells.split("---")]
    return nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)


def screenshot(page, name, tmp_path):
    page.screenshot(path=Path(os.environ.get("NTED_SCREENSHOTS", tmp_path)) / f"{name}.png")


PIXELS = "canvas => canvas.toDataURL()"
JOINTS = """svg => [...svg.querySelectorAll("circle")].map(
    dot => dot.style.display == "none" ? null : [Number(dot.getAttribute("cx")), Number(dot.getAttribute("cy"))]
)"""


@pytest.mark.browser
def test_the_puppet_and_the_wardrobe_in_jupyterlab(run_in_browser, tmp_path):
    page, expect = run_in_browser(notebook_of(PANELS))
    svg, image = page.locator(".nted svg"), page.locator(".nted canvas").nth(1)
    expect(image).to_have_attribute("data-shown", re.compile("[0-9]+"))
    start, box = svg.evaluate(JOINTS), svg.bounding_box()
    first = image.evaluate(PIXELS)
    screenshot(page, "puppet-start", tmp_path)

    def answered(before):
        page.wait_for_function("([now, before]) => now.toDataURL() !== before", arg=[image.element_handle(), before])
        return image.evaluate(PIXELS)

    def at(joint):
        return [corner + place * box["width"] / 44 for corner, place in zip((box["x"], box["y"]), start[joint])]

    # While the mouse button is down, the picture follows; how often depends on the machine.
    x, y = at(4)
    page.mouse.move(x, y)
    page.mouse.down()
    shown = set()
    for step in range(1, 31):
        page.mouse.move(x - 2 * step, y - 3 * step)
        page.wait_for_timeout(100)
        shown.add(image.evaluate(PIXELS))
    assert len(shown) >= 5, "pictures while dragging"
    screenshot(page, "puppet-dragged", tmp_path)
    page.mouse.up()
    page.wait_for_timeout(1000)
    dragged = image.evaluate(PIXELS)
    assert svg.evaluate(JOINTS)[4][1] < start[4][1] - 5

    # One drag is one step of undo.
    undo = page.get_by_role("button", name="undo")
    undo.click()
    answered(dragged)
    assert svg.evaluate(JOINTS) == start and image.evaluate(PIXELS) == first
    expect(undo).to_be_disabled()

    # Arrow keys move the joint that has the focus, and the notebook does not take them.
    svg.locator("circle").nth(7).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    after = answered(first)
    there = svg.evaluate(JOINTS)
    assert there[7] == pytest.approx([start[7][0] + 5, start[7][1] - 1], abs=0.02)
    assert there[:7] == start[:7] and there[8:] == start[8:]
    page.keyboard.press("Tab")
    expect(svg.locator("circle").nth(8)).to_be_focused()
    page.keyboard.press("Delete")
    answered(after)
    assert svg.evaluate(JOINTS)[8] is None
    page.locator(".nted .missing").get_by_role("button", name="right hip").click()
    assert svg.evaluate(JOINTS)[8] == start[8]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert svg.evaluate(JOINTS) == start

    # A stance keeps the turn; turned by the slider it is what Python computes.
    page.get_by_role("button", name="arms up").click()
    slider = page.locator(".nted input[type=range]")
    slider.fill("0")
    slider.fill("135")
    wanted = stance("arms up", 64, torch.tensor([135.0]).deg2rad())[0, :, :2] + 0.5
    seen = svg.evaluate(JOINTS)
    places = torch.tensor([xy or [float("nan")] * 2 for xy in seen])
    assert torch.allclose(places[1:14], wanted[1:14], atol=0.05)
    assert seen[0] is None and seen[14] is None, "from behind, nose and eyes cannot be seen"
    slider.fill("45")
    page.wait_for_timeout(1000)
    screenshot(page, "puppet-turned", tmp_path)
    for theme in ("Dark", "Light"):
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{ theme: 'JupyterLab {theme}' }})")
        page.wait_for_timeout(2000)
        screenshot(page, f"puppet-{theme}", tmp_path)

    worn = page.locator(".jp-OutputArea img").nth(2)
    before = worn.get_attribute("src")
    page.locator(".widget-slider .noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    expect(worn).not_to_have_attribute("src", before)

    # Without a kernel the joints still move, and the reader is told why the picture does not.
    page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    page.wait_for_timeout(1000)
    page.get_by_role("button", name="walk").click()
    expect(page.locator(".nted output")).to_contain_text("Is the kernel running")
    undo.click()


@pytest.fixture
def page_with(chromium):
    """page_with(script): a page without Jupyter, in its dark colours, on which a widget was drawn into `root`."""
    playwright = pytest.importorskip("playwright.sync_api")
    folder = Path(widgets.__file__).parent
    dark = ":root { --jp-ui-font-color1: rgba(255, 255, 255, .87); --jp-layout-color2: #424242; }"
    with playwright.sync_playwright() as started:
        browser = chromium(started)

        def draw(source, call):
            page = browser.new_page()
            code = re.sub(r"^export (default .*)?", "", (folder / source).read_text(), flags=re.M)
            page.set_content(f"<style>{dark}{(folder / 'look.css').read_text()}</style><div class=nted></div>")
            page.add_script_tag(content=f"{code}\nconst root = document.querySelector('.nted');\n{call}")
            return page

        yield draw
        browser.close()


STYLE = "(element, name) => getComputedStyle(element)[name]"


@pytest.mark.browser
def test_the_joint_that_has_the_focus_can_be_seen_in_the_dark(puppet, page_with):
    about = json.dumps(puppet.about)
    start = json.dumps({"joints": puppet.joints, "facing": puppet.facing})
    pixels = "new Uint8Array(3 * 64 * 44)"
    page = page_with("pose.js", f"puppet(root, {{...{about}, reference: {pixels}}}, {start}, async () => {pixels})")
    dot = page.locator("circle").nth(4)
    ring, width = dot.evaluate(STYLE, "stroke"), dot.evaluate(STYLE, "strokeWidth")
    dot.focus()
    light, dark = (np.array(re.findall(r"\d+", c)[:3], int) for c in (ring, dot.evaluate(STYLE, "stroke")))
    assert np.abs(light - dark).max() > 100 and dot.evaluate(STYLE, "strokeWidth") != width
    assert "Delete" in page.locator(".missing").inner_text(), "what a double click does is written somewhere"


@pytest.mark.browser
def test_a_pinned_texture_is_marked(explored, page_with):
    _, explorer = explored
    data = {name: getattr(explorer, name) for name in ("size", "parts", "operations")}
    data |= {name: list(getattr(explorer, name)) for name in ("reference", "generated")}
    data |= {name: [list(maps) for maps in getattr(explorer, name)] for name in ("extraction", "distribution")}
    page = page_with("entities.js", f"explorer(root, {json.dumps(data)})")
    button = page.locator(".entities button").first
    colour = button.evaluate(STYLE, "borderTopColor")
    assert colour == button.locator("i").evaluate(STYLE, "backgroundColor"), "the colour of its part"
    button.click()
    page.mouse.move(1, 1)
    assert button.evaluate(STYLE, "borderTopColor") != colour


EXPLORER = """
import torch
from nted_lite import NTED
from nted_lite.people import SPLITS, pairs
from nted_lite.weights.hub import shipped
from nted_lite.widgets import EntityExplorer
pair = pairs(SPLITS["test"], torch.arange(6))
model = NTED.from_pretrained(shipped("people-64"))
with torch.no_grad():
    transfer = model(pair.reference.image, model.pose_map(pair.target.keypoints, pair.target.visible))
EntityExplorer(pair.reference.image, transfer, pair.target.parts, person=1)
"""


@pytest.mark.browser
def test_the_explorer_in_jupyterlab(run_in_browser, tmp_path):
    """Both ways, with the mouse and with keys, and without a kernel."""
    pair = pairs(SPLITS["test"], torch.arange(6))
    model = NTED.from_pretrained(shipped("people-64"))
    with torch.no_grad():
        transfer = model(pair.reference.image, model.pose_map(pair.target.keypoints, pair.target.visible))
    page, expect = run_in_browser(notebook_of(EXPLORER))
    page.locator(".nted .entities button").first.wait_for()
    page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
    reference, generated = (page.locator(".nted canvas.picture").nth(number) for number in (0, 1))
    says, textures = page.locator(".nted output"), page.locator(".nted .entities button")
    screenshot(page, "explorer-start", tmp_path)

    def seen():
        return [canvas.evaluate(PIXELS) for canvas in (reference, generated)]

    def widths():
        return textures.evaluate_all(
            "all => all.map(b => [Number(b.dataset.texture), parseFloat(b.querySelector('.share').style.width)])"
        )

    def agrees(shares):
        shares = shares / shares.sum()
        for texture, width in widths():
            assert width == pytest.approx(100 * float(shares[texture]), abs=1.0)

    for operation in (3, 0):  # the one that is shown first, and another
        extraction, distribution = transfer.extraction[operation][1], transfer.distribution[operation][1]
        k, h, w = extraction.shape
        page.locator(".nted select").select_option(str(operation))
        assert textures.count() == k
        unlit, row, column = seen(), h // 3, w // 2
        for canvas, maps, name in (
            (generated, distribution, "pixel-of-the-result"),
            (reference, extraction, "reference"),
        ):
            box = canvas.bounding_box()
            where = {"x": (column + 0.5) * box["width"] / w, "y": (row + 0.5) * box["height"] / h}
            canvas.hover(position=where)
            expect(says).to_contain_text(f"row {row}, column {column}")
            agrees(maps[:, row, column])
            assert all(now != before for now, before in zip(seen(), unlit)), "both pictures light up"
            screenshot(page, f"explorer-{operation}-{name}", tmp_path)
        textures.nth(k // 2).hover()
        expect(says).to_contain_text("what it averages")
        screenshot(page, f"explorer-{operation}-texture", tmp_path)
        page.mouse.move(5, 5)
        assert seen() == unlit

    # A click pins; the pointer may leave. Keys do the same.
    textures.first.click()
    pinned = seen()
    page.mouse.move(5, 5)
    expect(textures.first).to_have_attribute("aria-pressed", "true")
    assert seen() == pinned
    page.keyboard.press("Escape")
    assert seen() == unlit
    generated.focus()  # keys go on from where the pointer was
    page.keyboard.press("ArrowDown")
    expect(says).to_contain_text(f"row {row + 1}, column {column}")
    agrees(distribution[:, row + 1, column])
    page.keyboard.press("Enter")
    expect(says).to_contain_text("pinned")
    page.get_by_role("button", name="let go").click()
    assert seen() == unlit


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
