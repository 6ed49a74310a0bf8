"""Run the course's notebooks, and save them so that a second run changes nothing.

    python notebooks/make.py            every notebook again, in the profile of NTED_PROFILE (cpu, if not set)
    python notebooks/make.py 00_tour    one of them
    python notebooks/make.py --badges   runs nothing: links to Colab follow the repository's address in pyproject.toml

A notebook is run in a fresh process from its first cell to its last. What differs between two equal runs is taken out
before it is saved: times, random ids, addresses in memory, messages on stderr; and progress bars. `nbclient` and
`nbformat` come with the extra `test`.
"""

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
FOLDED = ("source_hidden", "outputs_hidden")  # a proof, and what a prediction is about
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


def execute(notebook: "NotebookNode", profile: str = "cpu", timeout: int = 3600) -> "NotebookNode":
    """Run a notebook in a fresh kernel, in its folder; the outputs are written into it.

    profile  quick, cpu or gpu: what its cells find in NTED_PROFILE
    timeout  seconds that one cell may take
    raises   CellExecutionError of nbclient if a cell fails
    """
    from nbclient import NotebookClient

    place = {"metadata": {"path": str(FOLDER)}}
    # A kernel sends what a cell prints in bursts, as time passes: they are joined.
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False, coalesce_streams=True, resources=place
    )
    return client.execute(env={**os.environ, "NTED_PROFILE": profile})


def normalise(notebook: "NotebookNode") -> "NotebookNode":
    """Take out of an executed notebook whatever differs between two equal runs; it is changed in place."""
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
        kept = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        folded = {name: True for name, on in cell.metadata.get("jupyter", {}).items() if name in FOLDED and on}
        cell.metadata = kept | ({"jupyter": folded} if folded else {})
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _of_the_moment(output)]
            for shown in (output.data for output in cell.outputs if "text/plain" in output.get("data", {})):
                shown["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", shown["text/plain"])
    widgets = {key: value for key, value in notebook.metadata.items() if key == "widgets"}
    notebook.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE, **widgets}
    return _renumbered(notebook)


def _of_the_moment(output: "NotebookNode") -> bool:
    """Whether an output is a message on stderr or a progress bar, which would be saved as it began, at 0 %."""
    return output.get("name") == "stderr" or bool(re.search(r"\b0%\|", output.get("data", {}).get("text/plain", "")))


def _renumbered(notebook: "NotebookNode") -> "NotebookNode":
    """Random ids of widgets become 0, 1, 2 ... in the order in which they were made."""
    import nbformat

    states = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    text = json.dumps(notebook)
    for number, identity in enumerate(states):
        text = text.replace(identity, f"{number:032x}")
    return nbformat.from_dict(json.loads(text))


def refresh(path: Path, profile: str = "cpu") -> None:
    """Run a notebook file again and save it."""
    import nbformat

    notebook = normalise(execute(nbformat.read(path, as_version=4), profile))
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def repository(root: Path) -> str:
    """OWNER/NAME on GitHub, from `[project.urls] Repository` in pyproject.toml. SystemExit if it is not on GitHub."""
    file = root / "pyproject.toml"
    address = tomllib.loads(file.read_text())["project"].get("urls", {}).get("Repository", "")
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", address)
    if not found:
        sys.exit(f"{file}: [project.urls] Repository is {address!r}; Colab needs https://github.com/OWNER/NAME")
    return found[1]


def badges(root: Path) -> None:
    """Write the repository's address into the notebooks (badge, clone) and the README (Colab column, clone)."""
    place = repository(root)
    badge = "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    colab = f"https://colab.research.google.com/github/{place}/blob/main/notebooks"

    def rewrite(path: Path, *changes: tuple[str, str]) -> None:
        text = path.read_text(encoding="utf-8")
        for pattern, replacement in changes:
            text = re.sub(pattern, replacement, text, flags=re.M)
        path.write_text(text, encoding="utf-8")

    # The clone names its folder, which the set-up cell looks for, whatever the repository is called.
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        rewrite(
            path,
            (re.escape(badge) + r"\([^)]*\)", f"{badge}({colab}/{path.name})"),
            (r"(git clone -q --depth 1) \S+( nted-lite)? &&", rf"\1 https://github.com/{place}.git nted-lite &&"),
        )
    rewrite(
        root / "README.md",
        (r"^(\| \[[^]]*\]\(notebooks/([^)]+)\) \|.*\|)[^|]*\|$", rf"\1 [open]({colab}/\2) |"),
        (r"git clone \S+ && cd \S+", f"git clone https://github.com/{place} && cd {place.split('/')[1]}"),
    )


def main(names: list[str]) -> None:
    """Refresh the notebooks of these names; all, if there are none. `--badges` alone: see `badges`."""
    if names == ["--badges"]:
        return badges(FOLDER.parent)
    paths = sorted(FOLDER.glob("[0-9]*.ipynb"))
    chosen = [path for path in paths if not names or path.stem in names]
    unknown = set(names) - {path.stem for path in chosen}
    if unknown or not chosen:
        sys.exit(f"no notebook {' '.join(sorted(unknown))}; there are {' '.join(path.stem for path in paths)}")
    for path in tqdm(chosen, desc="notebooks"):
        refresh(path, os.environ.get("NTED_PROFILE", "cpu"))


if __name__ == "__main__":
    main([re.sub(r"\.ipynb$", "", Path(name).name) for name in sys.argv[1:]])
