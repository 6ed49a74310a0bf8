"""The repository itself: one list of dependencies, the package's manners, and nothing tracked that should not be."""

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

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
MODULES = sorted((ROOT / "nted_lite").rglob("*.py"))

# Ground floor first: a room imports its own floor and the floors before it. What is not listed stands on the roof.
FLOORS = (
    {"config", "layers", "lists", "pose", "texture", "people", "entities", "weights", "exercises"},
    {"encoder", "renderer", "discriminator"},
    {"model"},
    {"features", "losses", "images"},
    {"keypoints", "data", "checkpoint", "devices"},
    {"training"},
    {"control", "variants", "transfer"},
    {"plotting"},
    {"evaluation", "widgets"},
    {"cli", "demo"},
)
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


def constraint_lines() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def applies(requirement: Requirement, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"python_version": python, "extra": ""})


def environment() -> tuple[list[str], list[str]]:
    """The conda packages of environment.yml, and the lines it hands to pip."""
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (d["pip"] for d in dependencies if isinstance(d, dict))
    return [d for d in dependencies if isinstance(d, str)], pip


def test_constraints_are_exact_versions():
    pattern = re.compile(r"[a-z0-9-]+==[0-9][\w.]*")
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    assert len(lines) == len(set(lines))
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(names)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_pin_inside_its_range(python):
    pins: dict[str, list[str]] = {}
    for line in constraint_lines():
        if applies(line, python):
            pins.setdefault(canonicalize_name(line.name), []).append(str(line.specifier).removeprefix("=="))
    assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}
    for requirement in requirements(*project()["optional-dependencies"]):
        if applies(requirement, python):
            name = canonicalize_name(requirement.name)
            assert name in pins, f"{name} has no pin in constraints.txt for Python {python}"
            assert requirement.specifier.contains(pins[name][0]), f"{requirement} excludes its pin {pins[name][0]}"


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


@pytest.mark.parametrize("name", ["Makefile", "README.md", ".ci/run"])
def test_documented_installs_use_the_constraints(name):
    text = (ROOT / name).read_text() if (ROOT / name).exists() else ""
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


def functions(module: Path):
    return (n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def code_lines(function: ast.FunctionDef) -> int:
    """Lines of a function, without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    return function.end_lineno - function.lineno + 1 - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


each_module = pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(ROOT).as_posix())


@each_module
def test_files_and_functions_stay_readable(module):
    assert module.name != "utils.py"
    assert len(module.read_text().splitlines()) <= 300
    assert {f.name: code_lines(f) for f in functions(module) if code_lines(f) > 40} == {}


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
def test_imports_are_declared_and_go_down(module):
    declared = {canonicalize_name(r.name) for r in requirements(*project()["optional-dependencies"])}
    used = imports(ast.walk(tree(module)))
    foreign = {name.split(".")[0] for name in used} - set(sys.stdlib_module_names) - {"nted_lite"}
    assert {n for n in foreign if canonicalize_name(DISTRIBUTION.get(n, n)) not in declared} == set()

    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    own = module.relative_to(ROOT / "nted_lite").with_suffix("").parts[0]
    if own != "__init__":
        rooms = {name.split(".")[1] for name in used if name.startswith("nted_lite.")}
        rooms = {room for room in rooms if (ROOT / f"nted_lite/{room}.py").exists() or room in floor}
        top = len(FLOORS)
        assert {room for room in rooms if floor.get(room, top) > floor.get(own, top)} == set()


@each_module
def test_core_imports_need_no_extra(module):
    """A module imports at its top only what a plain install has; the optional libraries are imported where used."""
    core = {canonicalize_name(r.name) for r in requirements()}
    foreign = {name.split(".")[0] for name in imports(tree(module).body)} - set(sys.stdlib_module_names) - {"nted_lite"}
    assert {n for n in foreign if canonicalize_name(DISTRIBUTION.get(n, n)) not in core} == set()


def test_init_files_hold_public_names_only():
    for module in (m for m in MODULES if m.name == "__init__.py"):
        for node in tree(module).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__all__", "__version__"}
            assert docstring or names or isinstance(node, ast.Import | ast.ImportFrom), f"{module.name}:{node.lineno}"


def test_public_names_exist():
    import nted_lite

    assert [name for name in nted_lite.__all__ if not hasattr(nted_lite, name)] == []


# ------------------------------------------------------------------------------------------------- what git has in hand

# Places on one person's machine, and installs that depend on one machine's package index.
MACHINE = re.compile(
    r"""(?<![\w.:/~*})-])/(?:root|home|Users|tmp|work|mnt|private|workspace)/\w"""
    r"""|(?:extra-)?index[-_]url\b|find[-]links\b|python[h]osted\b|\b[A-Z]:\\Users\b""",
)


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git tracks, or would: new ones that no rule ignores count too."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
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
    assert sum(sizes.values()) < 45 * 2**20, f"largest: {[(name, sizes[name]) for name in largest]}"


def test_no_builds_or_caches_are_tracked():
    unwanted = re.compile(r"(^|/)(\.venv|build|__pycache__|\.ipynb_checkpoints|\.pytest_cache)/|\.(pyc|pt|pth|ckpt)$")
    assert [p for p in (path.relative_to(ROOT).as_posix() for path in tracked()) if unwanted.search(p)] == []
