"""Build the site: the course as a book, and the page Play. Nothing that is served asks another server for anything.

    python site/build.py                 into build/site; then: python -m http.server -d build/site
    python site/build.py --out FOLDER    a new or an empty folder, or an earlier site, which is replaced

Two libraries come from npm, in the versions below, and are kept in build/npm: MathJax for formulas, and
onnxruntime-web, which runs the model in the browser. Notebooks are shown with their committed outputs.
"""

import argparse
import base64
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from html import escape
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = {
    "onnxruntime-web@1.30.0": (
        "dist/ort.wasm.min.mjs", "dist/ort-wasm-simd-threaded.mjs", "dist/ort-wasm-simd-threaded.wasm",
    ),
    "mathjax@3.2.2": ("es5/tex-svg-full.js",),
}  # fmt: skip
GITHUB = "https://github.com/nted-lite/nted-lite/blob/main"
MODELS = ("people-64", "people-128")  # those that the page Play offers, if they are there
FOLDED = {"source_hidden": "hide-input", "outputs_hidden": "hide-output"}
WIDGET = "application/vnd.jupyter.widget-view+json"
PLAY = '<p class="live"><b>Live.</b> <a href="../play/index.html">Try this in your browser on the page Play</a>.</p>'
PANEL = '<p class="live">In a running notebook, this figure has controls.</p>'


def vendor(package: str, files: tuple[str, ...], out: Path) -> None:
    """Copy files of an npm package into a folder; the package is fetched once. Raises SystemExit if npm cannot."""
    kept = ROOT / "build" / "npm"
    kept.mkdir(parents=True, exist_ok=True)
    archive = kept / f"{package.replace('@', '-')}.tgz"
    if not archive.is_file():
        try:
            subprocess.run(["npm", "pack", "--silent", package], cwd=kept, check=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            need = "the site needs Node.js, and a network for its first build"
            sys.exit(f"site: npm cannot fetch {package} ({error}); {need}")
    out.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as packed:
        for file in files:
            (out / Path(file).name).write_bytes(packed.extractfile(f"package/{file}").read())


def play(out: Path) -> None:
    """Write the page Play with its models and people."""
    import people

    from nted_lite import NTED
    from nted_lite.export import export

    shutil.copytree(HERE / "play", out, dirs_exist_ok=True)
    names = [name for name in MODELS if (ROOT / "checkpoints" / name / "model.safetensors").is_file()]
    for name in names:
        model = NTED.from_pretrained(ROOT / "checkpoints" / name)
        export(model, out / name)
        people.write(model, out / name)
    (out / "models.json").write_text(json.dumps(names) + "\n")


# ------------------------------------------------------------------------------------------------------------- the book


def lesson(path: Path, out: Path) -> None:
    """Write a notebook as a page of the book: proofs folded, local links followed to GitHub, widgets as pictures."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    widgets = notebook.metadata.pop("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            badge = r"\[!\[Open In Colab\]\([^)]*\)\]\(([^)]*)\)"  # its picture lies on another server
            cell.source = linked(re.sub(badge, r"[Open this lesson in Colab](\1)", cell.source), path)
            continue
        hidden = cell.metadata.get("jupyter", {})
        tags = [tag for name, tag in FOLDED.items() if hidden.get(name)]
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), *tags]
        for output in cell.outputs:
            shown = output.get("data", {}).pop(WIDGET, None)
            if shown and (figures := stills(widgets, shown["model_id"])):
                live = PLAY if re.search("Puppet|Wardrobe|EntityExplorer", output.data["text/plain"]) else PANEL
                output.data = {"text/html": f'<div class="stills">{figures}</div>{live}'}
    nbformat.write(notebook, out / path.name)


def stills(widgets: dict, name: str, title: str = "") -> str:
    """Every picture in a saved widget, as HTML; "" if there is none, as in a bar of progress.

    widgets  name -> model_name, state and buffers, as in the metadata of a notebook
    title    what stands above the widget
    """
    from nted_lite.images import png

    widget = widgets[name.removeprefix("IPY_MODEL_")]
    state, children = widget["state"], widget["state"].get("children", [])
    data = {b["path"][0]: base64.b64decode(b["data"]) for b in widget.get("buffers", []) if len(b["path"]) == 1}
    pictures = {title: data["value"]} if widget["model_name"] == "ImageModel" else {}
    if "_anywidget_id" in state:  # its pictures are bytes, h w 3, which the browser enlarges
        width, height = state.get("size") or state["about"]["size"]
        for key in sorted(data, reverse=True):  # reference, then generated
            pixels = np.frombuffer(data[key], np.uint8).reshape(height, width, 3)
            pictures[key.removesuffix("_pixels")] = png(pixels.repeat(4, 0).repeat(4, 1))
    text = ""
    for caption, picture in pictures.items():
        source, says = f"data:image/png;base64,{base64.b64encode(picture).decode()}", escape(caption)
        image = f'<img src="{source}" alt="{says or "the figure as it starts"}">'
        text += f"<figure><figcaption>{says}</figcaption>{image}</figure>"
    labels = [widgets[child.removeprefix("IPY_MODEL_")] for child in children[:1]]
    title = "".join(label["state"]["value"] for label in labels if label["model_name"] == "LabelModel")
    return text + "".join(stills(widgets, child, title) for child in children)


def linked(text: str, source: Path) -> str:
    """Markdown whose links to files outside the book lead to GitHub."""

    def change(match: re.Match) -> str:
        target = match[1]
        if re.match(r"[a-z]+:|#", target) or re.fullmatch(r"\d\d_\w+\.ipynb(#.*)?", target):
            return match[0]
        file = (source.parent / target.partition("#")[0]).resolve()
        return f"]({GITHUB}/{file.relative_to(ROOT).as_posix()})" if file.is_relative_to(ROOT) else match[0]

    return re.sub(r"\]\(([^)\s]+)\)", change, text)


def pages(book: Path) -> None:
    """Write the sources of all pages into a folder, for Sphinx."""
    shutil.copytree(HERE / "book", book)
    (book / "course").mkdir()
    lessons = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    for path in lessons:
        lesson(path, book / "course")
    tree = "\n".join(f"course/{path.stem}" for path in lessons)
    start = (book / "index.md").read_text()
    (book / "index.md").write_text(start.replace("LESSONS", tree))
    (book / "gallery.md").write_text(gallery(book))
    (book / "models.md").write_text(models())
    results = (ROOT / "benchmarks" / "results.txt").read_text()
    performance = "# Performance\n\nWhat `make bench` printed last, and the machine that it ran on.\n"
    (book / "performance.md").write_text(f"{performance}\n```text\n{results}```\n")
    (book / "api.md").write_text(api())


def gallery(book: Path) -> str:
    """Copy all pictures of figures/ into the book. -> a page with what the function of each says about it"""
    import ast

    functions = ast.parse((ROOT / "figures" / "make.py").read_text()).body
    said = {node.name: ast.get_docstring(node) for node in functions if isinstance(node, ast.FunctionDef)}
    text = "# Gallery\n\nEvery picture is drawn by a function of `figures/make.py`; `make figures` draws them again.\n"
    for file in sorted(file for kind in ("png", "webp") for file in (ROOT / "figures").glob(f"*.{kind}")):
        name = file.stem if file.suffix == ".png" else f"moving_{file.stem}"  # a film
        says = said[name].partition("\n")[0]
        shutil.copy(file, book / file.name)
        text += f"\n## {name.replace('_', ' ')}\n\n{says}\n\n![{says}]({file.name})\n"
    return text


def models() -> str:
    """The table of results, if there is one, and the card of every model that ships."""
    folder = ROOT / "checkpoints"
    text = "# Models\n"
    if (folder / "RESULTS.md").is_file():
        text += "\n" + demoted(linked((folder / "RESULTS.md").read_text(), folder / "RESULTS.md"))
    for card in sorted(folder.glob("*/README.md")):
        body = re.sub(r"\A---\n.*?\n---\n", "", card.read_text(), flags=re.S)
        text += "\n" + demoted(linked(re.sub(r"<!--.*?-->", "", body), card))
    return text


def demoted(text: str) -> str:
    """Markdown with every heading one level lower."""
    return re.sub(r"^#", "##", text, flags=re.M)


def api() -> str:
    """One section for each module of the package, in the order in which they build on each other."""
    table = (ROOT / "nted_lite" / "README.md").read_text()
    text = "# API\n\nThe docstrings of the package. A file imports only from files that stand above it.\n"
    for room in re.findall(r"`(\w+(?:\.py|/))`", "".join(re.findall(r"^\| (`.*?) \|", table, re.M))):
        path = ROOT / "nted_lite" / room
        for file in [path] if path.is_file() else sorted(path.glob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            options = "   :members:\n   :member-order: bysource\n   :no-index:\n"
            text += f"\n## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n"
    return text


def main() -> None:
    """Build everything into a folder. Raises SystemExit if it holds anything but an earlier site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out = parser.parse_args().out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / "play" / "models.json").is_file():
        sys.exit(f"site: {out} is not empty, and no earlier site; choose another folder with --out, or remove it")
    sys.path[:0] = [str(ROOT), str(HERE)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:  # an earlier site stays until the new one is complete
        sources, made = Path(folder) / "sources", Path(folder) / "site"
        pages(sources)
        vendor(*list(PACKAGES.items())[1], sources / "_static" / "vendor")
        sphinx = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(sources), str(made)]
        subprocess.run(sphinx, check=True, cwd=ROOT)
        vendor(*list(PACKAGES.items())[0], made / "play" / "vendor")
        play(made / "play")
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)
    for unused in (".doctrees", "_sources"):
        shutil.rmtree(out / unused, ignore_errors=True)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {size / 2**20:.0f} MB; look at it with: {Path(sys.executable).name} -m http.server -d {out}")


if __name__ == "__main__":
    main()
