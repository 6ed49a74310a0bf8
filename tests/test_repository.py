"""The repository itself: dependencies, layers of the package, make targets and workflows, and what git tracks."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
MODULES = sorted((ROOT / "nted_lite").rglob("*.py"))

# The files and folders of the package in the order of its own table: each imports itself and what stands before it.
ROWS = re.findall(r"^\| (`.*?) \|", (ROOT / "nted_lite" / "README.md").read_text(), re.M)
ROOMS = tuple(room for row in ROWS for room in re.findall(r"`(\w+)(?:\.py|/)`", row))
# Distributions whose import name is another, or that come as a part of one that is declared.
DISTRIBUTION = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "IPython": "ipywidgets",
    "traitlets": "ipywidgets",
    "matplotlib_inline": "jupyterlab",
    "pandas": "seaborn",
}


# --------------------------------------------------------------------------------------------- one list of dependencies


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> list[Requirement]:
    """The requirements of the package with some of its extras; an extra that names another is followed."""
    lines = list(project()["dependencies"])
    lines += [line for extra in extras for line in project()["optional-dependencies"][extra]]
    found = [Requirement(line) for line in lines]
    own = [r for r in found if r.name == project()["name"]]
    rest = [r for r in found if r.name != project()["name"]]
    return rest + [r for o in own for r in requirements(*o.extras)]


def pins(name: str) -> dict[str, str]:
    """The exact versions of a file of constraints: distribution -> version."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", line)] == []
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), "each distribution once"
    return found


def environment() -> tuple[list[str], list[str]]:
    """The conda packages of environment.yml, and the lines it hands to pip."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (d["pip"] for d in dependencies if isinstance(d, dict))
    return [d for d in dependencies if isinstance(d, str)], pip


def test_every_dependency_has_a_pin_inside_its_range():
    exact = pins("constraints.txt")
    for requirement in requirements(*project()["optional-dependencies"]):
        name = canonicalize_name(requirement.name)
        assert name in exact, f"{name} has no pin in constraints.txt"
        assert requirement.specifier.contains(exact[name]), f"{requirement} excludes its pin {exact[name]}"


def test_the_oldest_versions_are_the_declared_lower_bounds():
    oldest = pins("constraints-oldest.txt")
    for requirement in requirements("test"):
        (bound,) = [s.version for s in requirement.specifier if s.operator == ">="]
        name = canonicalize_name(requirement.name)
        assert Version(oldest[name]).release[:len(Version(bound).release)] == Version(bound).release, name


def test_environment_installs_this_package_with_its_constraints():
    conda, pip = environment()
    assert {re.split("[=<> ]", name)[0] for name in conda} == {"python", "pip"}
    assert pip[0] == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", pip[1])
    assert extras and set(extras[1].split(",")) <= set(project()["optional-dependencies"])
    assert len(pip) == 2, "pyproject.toml is the one list: environment.yml adds no package of its own"


def test_python_versions_agree():
    allowed = SpecifierSet(project()["requires-python"])
    named = [c.rsplit(" ", 1)[1] for c in project()["classifiers"] if "Python :: 3." in c]
    assert tuple(named) == PYTHONS
    assert all(allowed.contains(version) for version in named)
    assert not allowed.contains("3.10")
    assert [name.split("=")[1] in named for name in environment()[0] if name.startswith("python=")] == [True]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data_prep/README.md"])
def test_documented_installs_use_the_constraints(name):
    text = (ROOT / name).read_text()
    installs = [line.strip() for line in text.splitlines() if re.search(r"pip install .*(-e |--editable|\.\[)", line)]
    assert [line for line in installs if "-c constraints.txt" not in line] == []
    extras = {e for line in installs for group in re.findall(r"\.\[([a-z,]+)\]", line) for e in group.split(",")}
    assert extras <= set(project()["optional-dependencies"])


# ------------------------------------------------------------------------------------------------ the package's manners


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text())


def imports(nodes) -> set[str]:
    """Every absolute module name that these syntax nodes import; `from a import b` counts as `a` and `a.b`."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute: from nted_lite.texture import extract"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def top_names(modules: set[str]) -> set[str]:
    """The libraries among imported modules: neither Python's own nor this package."""
    return {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"nted_lite"}


each_module = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())


@each_module
def test_public_names_have_docstrings(module):
    definitions = [n for n in tree(module).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert ast.get_docstring(tree(module)), "a module says what it is"
    assert [n.name for n in definitions if not n.name.startswith("_") and not ast.get_docstring(n)] == []


@each_module
def test_axes_are_named_by_einops(module):
    calls = [n.func for n in ast.walk(tree(module)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    assert [(c.lineno, c.attr) for c in calls if c.attr in {"view", "permute", "bmm"}] == []


@each_module
def test_imports_are_declared(module):
    declared = {canonicalize_name(r.name) for r in requirements(*project()["optional-dependencies"])}
    foreign = top_names(imports(ast.walk(tree(module))))
    assert {n for n in foreign if canonicalize_name(DISTRIBUTION.get(n, n)) not in declared} == set()


def room(module: Path) -> str:
    """The file or folder of the package that a module is or is in."""
    return module.relative_to(ROOT / "nted_lite").with_suffix("").parts[0]


def test_every_file_and_folder_has_its_place_in_the_table():
    assert sorted({room(module) for module in MODULES} - {"__init__", "__main__"}) == sorted(ROOMS)


@each_module
def test_a_room_imports_what_stands_before_it(module):
    names = {name.split(".")[1] for name in imports(ast.walk(tree(module))) if name.startswith("nted_lite.")}
    after = set(ROOMS[ROOMS.index(room(module)) + 1 :]) if room(module) in ROOMS else set()
    assert names & after == set(), "these stand after it in the table of nted_lite/README.md"


@each_module
def test_core_imports_need_no_extra(module):
    """A module imports at its top only what a plain install has; the optional libraries are imported where used."""
    core = {canonicalize_name(r.name) for r in requirements()}
    foreign = top_names(imports(tree(module).body))
    assert {n for n in foreign if canonicalize_name(DISTRIBUTION.get(n, n)) not in core} == set()


def test_public_names_exist():
    import nted_lite

    assert [name for name in nted_lite.__all__ if not hasattr(nted_lite, name)] == []


# ------------------------------------------------------------------------------------------- make targets and workflows

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))


def commands(workflow: Path) -> list[str]:
    """Every command that a workflow runs; one with values from a matrix stands for each of its rows."""
    found = []
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        rows = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        lines = [line for step in job["steps"] for line in step.get("run", "").splitlines()]
        for row in rows:
            values = {f"${{{{ matrix.{name} }}}}": value for name, value in row.items()}
            for line in lines:
                for name, value in values.items():
                    line = line.replace(name, value)
                found.append(line)
    return found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_make_targets_that_exist(workflow):
    made = [command.split() for command in commands(workflow) if command.startswith("make ")]
    assert made and {words[1] for words in made} <= targets()
    variables = set(re.findall(r"^(\w+) \?=", (ROOT / "Makefile").read_text(), re.M))
    assert {word.split("=")[0] for words in made for word in words[2:]} <= variables


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_documented_make_targets_exist(name):
    named = re.findall(r"^make ([a-z][a-z-]*)|`make ([a-z][a-z-]*)", (ROOT / name).read_text(), re.M)
    assert named and {a or b for a, b in named} <= targets()


def test_make_lists_every_target():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+)", listed, re.M)) == targets()


# ------------------------------------------------------------------------------------------------- what git tracks

# Places on one person's machine, and installs that depend on one machine's package index.
MACHINE = re.compile(
    r"""(?<![\w.:/~*})-])/(?:root|home|Users|tmp|work|mnt|private|workspace)/\w"""
    r"""|(?:extra-)?index[-_]url\b|find[-]links\b|python[h]osted\b|\b[A-Z]:\\Users\b""",
)


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z"]
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    try:
        names = subprocess.run(listing, capture_output=True, check=True, text=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git cannot list this checkout: {error}")
    return tuple(ROOT / name for name in sorted(set(names)) if (ROOT / name).is_file())


def test_tracked_files_name_no_machine():
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            lines = enumerate(content.decode("utf-8").splitlines(), 1)
            found += [f"{path.relative_to(ROOT)}:{n}: {m[0]}" for n, line in lines if (m := MACHINE.search(line))]
    assert found == []


def test_the_pattern_for_machines_works():
    home = "/" + "home"
    assert MACHINE.search(f'"{home}/ada/nted"') and MACHINE.search("--extra-index" + "-url x")
    assert not MACHINE.search(f"https://example.org{home}/page")
    assert not MACHINE.search("executable = /usr/bin/chromium; out = build/demo/work/x")


def test_the_checkout_stays_small():
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tracked()}
    largest = sorted(sizes, key=sizes.get, reverse=True)[:5]
    assert sum(sizes.values()) < 60 * 2**20, f"largest: {[(name, sizes[name]) for name in largest]}"
