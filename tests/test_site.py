"""The site, as a visitor meets it: built once, served locally, opened in a browser that may ask nobody else."""

import base64
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from nted_lite import NTED
from nted_lite.control import exchange, fuse
from nted_lite.features import people_parser
from nted_lite.people import SPLITS, pairs
from nted_lite.pose import pose_map
from nted_lite.weights.hub import shipped

for name in ("sphinx", "myst_nb", "sphinx_book_theme", "onnx", "onnxscript"):
    pytest.importorskip(name)
pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("site_build", ROOT / "site/build.py")  # no package: `site` is Python's
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)
DRAWN = "performance.getEntriesByName('picture').length"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site: built once a run, whichever worker needs it first. A build/site is left alone."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: the site takes MathJax and onnxruntime-web from it")
    own = tmp_path_factory.getbasetemp()
    out = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "site"
    with FileLock(f"{out}.lock"):
        if not (out / "play/models.json").is_file():  # written last
            command = [sys.executable, "site/build.py", "--out", str(out)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000)
            if "npm cannot fetch" in done.stderr:
                pytest.skip(done.stderr.strip().splitlines()[-1])
            assert done.returncode == 0, done.stderr
            assert done.stderr == "", "Sphinx warns of nothing"
    return out


class Quiet(SimpleHTTPRequestHandler):
    """A file server that prints nothing."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(address, chromium):
    """visit(path, width=1400, scheme="light") -> a page; at the end, no request has left, and nothing has failed."""
    from playwright.sync_api import sync_playwright

    asked, failed = [], []
    with sync_playwright() as playwright:
        browser = chromium(playwright)

        def open_page(path, width=1400, scheme="light"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: failed.append(str(error)))
            page.on("response", lambda answer: answer.status >= 400 and failed.append(f"{answer.status} {answer.url}"))
            page.goto(f"{address}/{path}")
            return page

        yield open_page
        browser.close()
    local = (address, "data:", "blob:")
    assert [url for url in asked if not url.startswith(local)] == []
    assert failed == []


@pytest.fixture
def play(visit):
    def open_play(width=1400, scheme="light"):
        page = visit("play/index.html", width, scheme)
        page.wait_for_function(f"{DRAWN} > 0", timeout=120_000)
        return page

    return open_play


# ------------------------------------------------------------------------------------------- the same numbers as Python


@pytest.mark.parametrize(("height", "count"), [(64, 200), (128, 40)])
@pytest.mark.parametrize("fine", [False, True])
def test_the_pose_map_equals_pythons(visit, site, fine, height, count):
    page = visit("play/index.html")
    view = pairs(SPLITS["test"], torch.arange(1000, 1000 + count), height).target
    keypoints = view.keypoints + torch.randn(view.keypoints.shape) * height / 32  # dragged, some out of the frame
    wanted = site / f"wanted-{height}-{fine}.bin"
    wanted.write_bytes(pose_map(keypoints, view.visible, height, fine=fine).numpy().tobytes())
    figure, limbs = page.evaluate(
        """async ([poses, shown, height, fine, file]) => {
            const { poseMap } = await import("./pose.js");
            const size = { height, width: (height * 11) / 16 };
            const wanted = new Float32Array(await (await fetch(`../${file}`)).arrayBuffer());
            const worst = [0, 0]; // of channels 0 to 2, and of the others
            poses.forEach((pose, n) => poseMap(pose, shown[n], size, fine).forEach((value, i, map) => {
                const kind = i < 3 * size.height * size.width ? 0 : 1;
                worst[kind] = Math.max(worst[kind], Math.abs(value - wanted[n * map.length + i]));
            }));
            return worst;
        }""",
        [keypoints.tolist(), view.visible.tolist(), height, fine, wanted.name],
    )
    wanted.unlink()
    assert figure == 0 and limbs <= (2e-6 if fine else 0)


def read_pose(about, person, name="stand", turn=0):
    pose = about["people"][person]["poses"][name][turn]
    return torch.tensor(pose["keypoints"])[None], torch.tensor(pose["visible"], dtype=torch.bool)[None]


def photo(site, person, width=44, name="people-64"):
    pixels = np.asarray(Image.open(site / f"play/{name}/photos.png"))[:, person * width : (person + 1) * width]
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


@torch.no_grad()
def test_pictures_and_swaps_equal_pythons(play, site):
    """Pictures within 2 of 255. Of a swapped top, most textures are those that `exchange` chooses for this pose."""
    page, model = play(), NTED.from_pretrained(shipped("people-64"))
    about = json.loads((site / "play/people-64/people.json").read_text())
    state = page.evaluate("import('./app.js').then(app => app.current().state)")
    pose = model.pose_map(*read_pose(about, state["person"]))
    textures = [model.extract(photo(site, state[who])) for who in ("person", "donor")]
    own = [model.render(pose, t) for t in textures]
    image = "import('./app.js').then(app => Array.from(app.current().shown.image))"
    got = torch.tensor(page.evaluate(image)).reshape(3, 64, 44)
    assert (got - own[0].image[0]).abs().max() * 127.5 <= 2

    before = page.evaluate(DRAWN)
    page.locator("input[name=top]").evaluate("e => { e.value = 100; e.dispatchEvent(new Event('input')) }")
    page.wait_for_function(f"{DRAWN} > {before}")
    swapped, chosen = exchange(model, people_parser(), textures, own, pose, "top")
    weights = page.evaluate("import('./app.js').then(app => app.current().shown.weights)")
    same = [torch.tensor(w) == a[0] for w, a in zip(weights, chosen)]
    agreement = torch.cat(same).float().mean().item()
    got = torch.tensor(page.evaluate(image)).reshape(3, 64, 44)
    distance = (got - swapped.image[0]).abs().mean().item()
    print(f"\n{agreement:.0%} of the textures as `exchange` chooses; mean difference {distance * 127.5:.1f} of 255")
    assert agreement >= 0.8
    assert distance < (own[0].image - swapped.image).abs().mean(), "closer to Python's swap than no swap is"


@torch.no_grad()
def test_pictures_of_the_model_with_appearance_flow_equal_pythons(play, site):
    """The larger network, alone and with half of everything from the donor; pictures within 3 of 255."""
    page, model = play(), NTED.from_pretrained(shipped("people-128"))
    assert model.config.appearance_flow
    before = page.evaluate(DRAWN)
    page.select_option("#model", "people-128")
    page.wait_for_function(f"{DRAWN} > {before}", timeout=120_000)
    about = json.loads((site / "play/people-128/people.json").read_text())
    state = page.evaluate("import('./app.js').then(app => app.current().state)")
    pose = model.pose_map(*read_pose(about, state["person"]))
    mine, theirs = (model.extract(photo(site, state[who], 88, "people-128")) for who in ("person", "donor"))
    got = "import('./app.js').then(app => ({image: Array.from(app.current().shown.image), ...app.current().shown}))"
    first = torch.tensor(page.evaluate(got)["image"]).reshape(3, 128, 88)
    assert (first - model.render(pose, mine).image[0]).abs().max() * 127.5 <= 3

    before = page.evaluate(DRAWN)
    page.evaluate(
        "document.querySelectorAll('input[name=top], input[name=hair]')"
        ".forEach(e => { e.value = 60; e.dispatchEvent(new Event('input')) })"
    )
    page.wait_for_function(f"{DRAWN} > {before}")
    shown = page.evaluate(got)
    mixture = fuse(mine, theirs, [torch.tensor(weights) for weights in shown["weights"]])
    wanted = model.render(pose, mixture).image[0]
    assert (torch.tensor(shown["image"]).reshape(3, 128, 88) - wanted).abs().max() * 127.5 <= 3
    assert (wanted - first).abs().max() > 0.2, "the donor's clothes can be seen"


# ---------------------------------------------------------------------------------------------------- as a visitor does


def test_dragging_draws_and_undo_goes_back(play):
    page = play()
    wrist = page.locator("#puppet [aria-label^='right wrist']")
    before, box = wrist.get_attribute("cx"), wrist.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    start, drawn = page.evaluate("performance.now()"), page.evaluate(DRAWN)
    for step in range(60):
        page.mouse.move(x - 40 * np.sin(step / 9), y - 2 * step)
    speed = (page.evaluate(DRAWN) - drawn) / (page.evaluate("performance.now()") - start) * 1000
    page.mouse.up()
    first = page.evaluate("performance.getEntriesByName('picture')[0].startTime")
    print(f"\na drag shows {speed:.0f} pictures a second; the first picture came after {first / 1000:.1f} s")
    assert wrist.get_attribute("cx") != before
    assert "invented" in page.locator("#unknown").inner_text()
    page.keyboard.press("Control+z")
    back = "before => document.querySelector('[aria-label^=\"right wrist\"]').getAttribute('cx') === before"
    page.wait_for_function(back, arg=before)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")])
def test_play_fits_the_screen(play, width, scheme):
    page = play(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", paper)[0]) < 128) == (scheme == "dark")


def test_play_with_a_finger(address, chromium):
    """A finger beside a joint takes the nearest, without scrolling; the picture stays in view over the sliders."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
        page = (browser := chromium(playwright)).new_context(**phone).new_page()
        page.goto(f"{address}/play/index.html")
        page.wait_for_function(f"{DRAWN} > 0", timeout=120_000)
        wrist = page.locator("#puppet [aria-label^='right wrist']")
        before, box = float(wrist.get_attribute("cx")), wrist.bounding_box()
        x, y = box["x"] - 10, box["y"] + box["height"] + 8  # lower left of the dot
        touch = page.context.new_cdp_session(page)
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x - 30, "y": y - 60}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.wait_for_function("document.querySelector('#unknown').textContent.includes('invented')")
        assert float(wrist.get_attribute("cx")) < before
        assert page.evaluate("scrollY") == 0

        page.locator("input[name=top]").evaluate("e => e.scrollIntoView()")
        picture, slider = page.locator("#generated").bounding_box(), page.locator("input[name=top]").bounding_box()
        assert picture["y"] >= 0
        assert picture["y"] + picture["height"] <= slider["y"] <= 844
        browser.close()


def test_play_with_the_keyboard_alone(play):
    page = play()
    joint = page.locator("#puppet [aria-label^='left wrist']")
    joint.focus()
    before, drawn = float(joint.get_attribute("cx")), page.evaluate(DRAWN)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{DRAWN} > {drawn}")
    assert float(joint.get_attribute("cx")) == pytest.approx(before + 1)
    page.locator("#generated").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator("#bars li").count() == 3
    page.locator("#people [aria-checked=true]").focus()
    drawn = page.evaluate(DRAWN)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{DRAWN} > {drawn}")
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=button], [role=radio]')].filter(e =>"
        " !e.ariaLabel && !e.textContent.trim() && !e.closest('label')?.textContent.trim()).length"
    )
    assert nameless == 0, "everything that can be operated has a name for screen readers"


def test_ground_truth_is_shown_where_it_is_known(play, site):
    page = play()
    shown = "document.querySelector('#truth canvas').toDataURL()"
    page.wait_for_function("!document.querySelector('#truth canvas').hidden")
    own = page.evaluate(shown)
    page.locator("input[name=top]").evaluate("e => { e.value = 100; e.dispatchEvent(new Event('input')) }")
    page.wait_for_function(f"own => {shown} !== own", arg=own)
    page.locator("input[name=hair]").evaluate("e => { e.value = 50; e.dispatchEvent(new Event('input')) }")
    page.wait_for_function("document.querySelector('#unknown').textContent.startsWith('Unknown')")


CURRENT = "import('./app.js').then(app => app.current())"
STATUS = "document.querySelector('#status').textContent"


def set_to(page, control, value, wait=True):
    """Move a slider, and wait for the picture."""
    drawn = page.evaluate(DRAWN)
    move = "(e, v) => { e.value = v; ['input', 'change'].forEach(kind => e.dispatchEvent(new Event(kind))) }"
    page.locator(control).evaluate(move, value)
    if wait:
        page.wait_for_function(f"{DRAWN} > {drawn}")


def test_play_goes_on_after_a_picture_that_cannot_be_drawn(play):
    page = play()
    page.wait_for_function(f"{STATUS}.startsWith('Running')")
    page.route("**/truth-*.png", lambda route: route.abort())
    page.locator("#people button").nth(4).click()
    page.wait_for_function(f"{STATUS}.includes('truth-04.png')")
    assert page.locator("#truth canvas").is_hidden(), "no other person's ground truth"
    page.unroute("**/truth-*.png")
    set_to(page, "#turn", 3)
    page.wait_for_function(f"{STATUS}.startsWith('Running')")
    page.wait_for_function("!document.querySelector('#truth canvas').hidden")


def held(page, pattern):
    """Requests for a pattern wait in the list that is returned."""
    waiting = []
    page.route(pattern, lambda route: waiting.append(route))
    return waiting


def first(page, waiting):
    """The first request that waits, taken out."""
    for _ in range(600):
        if waiting:
            return waiting.pop(0)
        page.wait_for_timeout(50)
    raise AssertionError("nobody asked for it within 30 s")


def test_before_the_first_network_is_there_nothing_can_be_done(visit):
    page = visit("play/index.html")
    address = page.url
    page.goto("about:blank")  # what the first visit still asks for is not what is held
    waiting = held(page, "**/photos.png")
    page.goto(address)
    photos = first(page, waiting)
    for control in ("#reset", "#turn"):
        page.locator(control).scroll_into_view_if_needed()
        box = page.locator(control).bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.press("Control+z")
    photos.abort()
    page.wait_for_function(f"{STATUS}.includes('people-64') && {STATUS}.includes('photos.png')")


def test_the_network_that_was_chosen_last_is_shown_whole(play):
    """people-128 loads slowly, and people-64 was chosen meanwhile; one that fails leaves the other as it was."""
    page = play()
    waiting = held(page, "**/people-128/photos.png")
    page.select_option("#model", "people-128")
    late = first(page, waiting)
    assert "Loading" in page.evaluate(STATUS)
    set_to(page, "#turn", 2)  # the old network goes on
    assert "Loading" in page.evaluate(STATUS)
    drawn = page.evaluate(DRAWN)
    page.select_option("#model", "people-64")
    page.wait_for_function(f"{DRAWN} > {drawn}", timeout=120_000)
    late.continue_()
    page.wait_for_timeout(3000)
    set_to(page, "#turn", 4)
    seen = page.evaluate(f"{CURRENT}.then(({{ model, shown }}) => [model.height, shown.image.length])")
    assert seen == [64, 3 * 64 * 44] and page.evaluate(STATUS).startswith("Running")
    assert page.locator("#photo .pixels").evaluate("canvas => canvas.height") == 64

    page.route("**/people-128/people.json", lambda route: route.abort())
    page.select_option("#model", "people-128")
    page.wait_for_function(f"{STATUS}.includes('cannot run the network people-128')")
    assert page.locator("#model").input_value() == "people-64"
    set_to(page, "#turn", 5)


def press(page, joint, key, times):
    for _ in range(times):
        page.locator(f"#puppet [aria-label^='{joint}']").press(key)


def test_a_face_stays_whole_when_the_neck_is_moved_from_behind(play):
    page = play()
    set_to(page, "#turn", 8)
    assert page.locator("#puppet [aria-label^='nose']").is_hidden()
    press(page, "neck", "ArrowDown", 8)
    offsets = page.evaluate(f"{CURRENT}.then(app => app.state.offsets)")
    assert [offsets[joint] for joint in (0, 14, 15, 16, 17)] == [offsets[1]] * 5
    assert offsets[1][1] == pytest.approx(8)


def test_joints_outside_the_picture_are_missing(play):
    """The arm hangs below the shoulder: it leaves the picture first, and comes back with the shoulder."""
    page = play()
    press(page, "right shoulder", "ArrowDown", 40)
    seen = page.evaluate(f"{CURRENT}.then(app => app.pose)")
    inside = [-0.5 < x < 43.5 and -0.5 < y < 63.5 for x, y in seen["keypoints"]]
    assert not inside[4] and [bool(v) for v in seen["visible"]] == inside
    press(page, "right shoulder", "ArrowUp", 40)
    assert all(page.evaluate(f"{CURRENT}.then(app => app.pose.visible)"))


def test_undo_takes_back_one_thing_at_a_time(play):
    """Every kind of change is one step, whichever way it was made, and what changed nothing is none."""
    page = play()
    state = f"{CURRENT}.then(app => JSON.stringify(app.state))"
    seen = [page.evaluate(state)]
    page.locator("#poses button").first.click()  # stands already
    dot = page.locator("#puppet [aria-label^='neck']").bounding_box()
    page.mouse.click(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)  # without moving it
    assert page.evaluate(state) == seen[0]
    for act in (
        lambda: press(page, "left wrist", "ArrowRight", 1),
        lambda: page.locator("#turn").press("ArrowRight"),
        lambda: page.locator("input[name=top]").press("End"),
        lambda: page.locator("#people button").nth(5).click(),
        lambda: page.locator("#reset").click(),
    ):
        act()
        seen.append(page.evaluate(state))
    assert len(set(seen)) == 6
    for earlier in seen[-2::-1]:
        page.keyboard.press("Control+z")
        assert page.evaluate(state) == earlier
    page.wait_for_function("document.querySelector('#undo').disabled")


@pytest.mark.parametrize("where", ["photo", "generated"])
def test_a_marker_shows_where_the_keys_are(play, where):
    page = play()
    picture, spot = page.locator(f"#{where}"), page.locator(f"#{where} .spot")
    assert spot.is_hidden() and picture.get_attribute("role") == "application"
    picture.press("ArrowLeft")
    picture.press("ArrowUp")
    frame, box = picture.bounding_box(), spot.bounding_box()
    row, column = map(int, re.match(r"Row (\d+), column (\d+)", page.locator("#probe").inner_text()).groups())
    assert (row, column) == (15, 10), "one up and one left of the middle of 32 x 22"
    assert box["x"] - frame["x"] == pytest.approx(frame["width"] * column / 22, abs=1)
    assert box["y"] - frame["y"] == pytest.approx(frame["height"] * row / 32, abs=1)
    page.locator("#undo").evaluate("() => document.activeElement.blur()")
    assert spot.is_hidden()


@pytest.mark.parametrize("path", ["index.html", "course/00_tour.html", "models.html", "api.html"])
def test_the_book_asks_nobody_and_fits_a_phone(visit, path):
    page = visit(path, 390)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_formulas_are_typeset(visit, site):
    lessons = [p for p in sorted((site / "course").glob("*.html")) if 'class="math' in p.read_text()]
    for path in lessons[:1]:
        visit(f"course/{path.name}").wait_for_selector("mjx-container", timeout=60_000)


# ------------------------------------------------------------------------------------------------------------ the files


class Page(HTMLParser):
    """Links and ids of a page, and the tags that are not closed in order."""

    def __init__(self, file):
        super().__init__()
        self.links, self.ids, self.open, self.errors = [], [], [], []
        self.feed(file.read_text())
        self.errors += self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        self.ids += [found[name] for name in ("id", "name") if found.get(name)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        optional = ("p", "li", "dt", "dd", "tr", "td", "th")
        while self.open and self.open[-1] != tag and self.open[-1] in optional:
            self.open.pop()
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.errors.append(f"/{tag}")


WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_a_lesson_shows_a_picture_of_every_widget(path, tmp_path):
    """Every saved widget, except a bar of progress, becomes pictures, and the line below says what it can do."""
    build.lesson(path, tmp_path)
    before, after = nbformat.read(path, as_version=4), nbformat.read(tmp_path / path.name, as_version=4)
    for old, new in zip(before.cells, after.cells, strict=True):
        for saved, shown in zip(old.get("outputs", []), new.get("outputs", []), strict=True):
            assert WIDGET not in shown.get("data", {})
            if WIDGET not in saved.get("data", {}):
                continue
            plain = saved.data["text/plain"]
            name = re.search(r"Puppet|Wardrobe|EntityExplorer|Panel|Browser|Monitor|training:", plain)
            if name[0] == "training:":
                assert shown.data == {"text/plain": plain}
                continue
            sources = re.findall('src="data:image/png;base64,([^"]+)"', shown.data["text/html"])
            assert len(sources) == {"Puppet": 2, "EntityExplorer": 2, "Wardrobe": 4}.get(name[0], 1)
            for source in sources:
                assert np.asarray(Image.open(BytesIO(base64.b64decode(source)))).std() > 5, "not an empty picture"
            online = name[0] in ("Puppet", "EntityExplorer", "Wardrobe")
            assert ("play/index.html" in shown.data["text/html"]) == online


def test_every_picture_of_the_gallery_has_its_own_caption(tmp_path):
    text = build.gallery(tmp_path)
    sections = re.findall(r"## (.*)\n\n(.+)\n\n!\[.*\]\((.*)\)", text)
    files = {file.name for file in (ROOT / "figures").glob("*.*") if file.suffix in (".png", ".webp")}
    assert {file for _, _, file in sections} == files == {file.name for file in tmp_path.iterdir()}
    assert len({says for _, says, _ in sections}) == len(files), "a film is no still"


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    """The site replaces only an earlier site, and nothing beside it."""
    mine = tmp_path / "public" / "thesis.txt"
    beside = tmp_path / "public-sources" / "thesis.tex"
    for file in (mine, beside):
        file.parent.mkdir()
        file.write_text("three years")
    command = [sys.executable, "site/build.py", "--out", str(mine.parent)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and str(mine.parent) in done.stderr and "Traceback" not in done.stderr
    assert mine.is_file() and beside.is_file()


def test_links_lead_somewhere(site):
    pages = {file: Page(file) for file in site.rglob("*.html") if "_static" not in file.parts}
    broken = []
    for file, page in pages.items():
        for link in page.links:
            target = urllib.parse.urlsplit(link)
            if target.scheme or link.startswith("#") and link[1:] in ("", *page.ids):
                continue
            path = (file.parent / urllib.parse.unquote(target.path)).resolve() if target.path else file
            path = path / "index.html" if path.is_dir() else path
            anchored = target.fragment and path.suffix == ".html"
            known = path.is_file() and (not anchored or target.fragment in pages[path].ids)
            broken += [] if known else [f"{file.relative_to(site)}: {link}"]
    assert broken == []


def test_tags_are_closed(site):
    pages = {file.relative_to(site).as_posix(): Page(file) for file in [site / "play/index.html", site / "index.html"]}
    assert {name: page.errors for name, page in pages.items() if page.errors} == {}


def test_the_site_is_complete_and_small(site):
    lessons = {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert lessons == {path.stem for path in (site / "course").glob("*.html")}
    for name in ("index", "run", "gallery", "models", "performance", "api", "play/index"):
        assert (site / f"{name}.html").is_file()
    assert "Try this in your browser" in (site / "course/00_tour.html").read_text()
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 60 * 2**20
