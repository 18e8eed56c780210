"""Imports go down only, and what should open fast never waits for torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import byheart

SOURCE = Path(byheart.__file__).parent

LAYERS = (
    {"cli"},
    {"auditing", "advising", "studying"},
    {"report"},
    {"studies"},
    {"runners"},
    {"training"},
    {"measures"},
    {"networks", "data", "statistics", "charts"},
    {"store"},
    {"trial", "record", "errors", "files", "seeds", "texts", "version"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FACADE = {"__init__", "__main__"}
"""The package root hands public names through from below. Nothing below imports it."""


def parts(path: Path) -> tuple[str, ...]:
    """Return the dotted name of a module below ``byheart``, as parts."""
    names = path.relative_to(SOURCE).with_suffix("").parts
    return names[:-1] if names[-1] == "__init__" and len(names) > 1 else names


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield each byheart module that a file imports: at its top, in a function, for types only.

    A module is given as its parts below ``byheart``; the package root has none.
    """
    package = ("byheart", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _below_byheart(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = [*above, *(node.module or "").split(".")]
            for alias in node.names:
                yield from _below_byheart([*origin, alias.name])


def _below_byheart(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    root, *below = names
    if root == "byheart":
        # The last name may be a module, or something that a module defines.
        yield tuple(below) if tuple(below) in MODULES else tuple(below[:-1])


MODULES = {parts(path): path for path in sorted(SOURCE.rglob("*.py"))}
IMPORTS = {module: sorted(set(imported(path))) for module, path in MODULES.items()}


def test_every_module_stands_in_a_layer() -> None:
    homeless = {module[0] for module in MODULES} - set(LEVEL) - FACADE
    assert not homeless, f"name the layer of {sorted(homeless)} in this test and in CONTRIBUTING.md"


@pytest.mark.parametrize("module", MODULES, ids=".".join)
def test_imports_go_down_only(module: tuple[str, ...]) -> None:
    home = module[0]
    if home in FACADE:
        return
    for target in IMPORTS[module]:
        assert target, f"{'.'.join(module)} must not import the package root"
        same = home == target[0] or LEVEL[home] == LEVEL[target[0]] == len(LAYERS) - 1
        assert same or LEVEL[home] < LEVEL[target[0]], f"{home} must not import {'.'.join(target)}"


def test_no_modules_import_each_other_in_a_cycle() -> None:
    reachable = {module: _reachable(module) for module in MODULES}
    cycles = {
        frozenset(".".join(other) for other in reachable[module] if module in reachable[other])
        for module in MODULES
        if module in reachable[module]
    }
    assert not cycles


def _reachable(module: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return every module that importing one leads to, itself included where there is a cycle."""
    reached: set[tuple[str, ...]] = set()
    ahead = [module]
    while ahead:
        new = set(IMPORTS.get(ahead.pop(), ())) - reached
        reached |= new
        ahead.extend(new)
    return reached


READS_AND_DRAWS = ("store", "report", "charts", "statistics")
OPENS_FAST = (
    "byheart",
    "byheart.trial",
    "byheart.record",
    "byheart.cli.main",
    "byheart.cli.claims",
    "byheart.studies.registry",
)
WITHOUT_TORCH = """
import importlib, sys

for name in sys.argv[1:]:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"{name} imports torch")
from byheart.cli.main import main

assert main(["claims", "--json"]) == 0
if "torch" in sys.modules:
    sys.exit("listing the claims imports torch")
"""


def test_what_only_reads_and_draws_or_should_open_fast_never_imports_torch() -> None:
    light = [module for module in MODULES if module and module[0] in READS_AND_DRAWS]
    names = [*OPENS_FAST, *(".".join(("byheart", *module)) for module in light)]
    command = [sys.executable, "-c", WITHOUT_TORCH, *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_when_asked_for() -> None:
    for name in byheart.__all__:
        assert getattr(byheart, name) is not None
        assert name in dir(byheart)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'by_head'"):
        _ = byheart.by_head


HELP_ALONE = """
import sys

from byheart.cli.main import main

assert main(["--help"]) == 0
heavy = {"numpy", "pandas", "pydantic", "scipy", "sklearn", "torch"} & set(sys.modules)
sys.exit(f"--help imports {sorted(heavy)}" if heavy else 0)
"""


def test_help_opens_at_once_since_it_imports_nothing_heavy() -> None:
    run = subprocess.run(
        [sys.executable, "-c", HELP_ALONE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


WORKER = """
import sys

import byheart.data
import byheart.training.engine

print("pandas" in sys.modules)
"""


def test_workers_of_a_study_do_not_wait_for_pandas() -> None:
    run = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
