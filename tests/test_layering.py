"""Imports go down only, and what should open fast never waits for torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import byheart

SOURCE = Path(byheart.__file__).parent

LAYERS = (
    {"cli"},
    {"auditing", "advising"},
    {"report"},
    {"studies"},
    {"runners"},
    {"training"},
    {"measures"},
    {"networks", "data", "statistics"},
    {"store"},
    {"trial", "record", "errors", "seeds", "texts"},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FACADE = {"__init__", "__main__"}
"""The package's front door hands names through from below and is imported for its version only."""


def parts(path: Path) -> tuple[str, ...]:
    """Return the dotted name of a module below ``byheart``, as parts."""
    names = path.relative_to(SOURCE).with_suffix("").parts
    return names[:-1] if names[-1] == "__init__" and len(names) > 1 else names


def imported(path: Path) -> Iterator[str]:
    """Yield every byheart module that a file imports, at its top or inside a function."""
    package = ("byheart", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("byheart."))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join((*above, *([node.module] if node.module else ())))
            if origin == "byheart":
                yield from (f"byheart.{alias.name}" for alias in node.names)
            elif origin.startswith("byheart."):
                yield origin


def modules() -> list[Path]:
    """Return all source files."""
    return sorted(SOURCE.rglob("*.py"))


def test_every_module_stands_in_a_layer() -> None:
    homeless = {parts(path)[0] for path in modules()} - set(LEVEL) - FACADE
    assert not homeless, f"name the layer of {sorted(homeless)} in this test and in CONTRIBUTING.md"


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(parts(path)))
def test_imports_go_down_only(path: Path) -> None:
    home = parts(path)[0]
    if home in FACADE:
        return
    for name in imported(path):
        target = name.split(".")[1]
        if target not in LEVEL:
            assert target == "__version__", f"{home} imports {name}: only the version is handed up"
            continue
        inside = home == target or LEVEL[home] == LEVEL[target] == len(LAYERS) - 1
        assert inside or LEVEL[home] < LEVEL[target], f"{home} must not import {name}"


@pytest.mark.parametrize("package", ["store", "report", "statistics"])
def test_a_package_that_only_reads_and_draws_never_imports_torch(package: str) -> None:
    names = [".".join(("byheart", *parts(path))) for path in (SOURCE / package).rglob("*.py")]
    assert_no_torch(names)


@pytest.mark.parametrize(
    "name",
    [
        "byheart",
        "byheart.trial",
        "byheart.record",
        "byheart.cli.main",
        "byheart.cli.claims",
        "byheart.studies.registry",
    ],
)
def test_what_should_open_fast_never_imports_torch(name: str) -> None:
    assert_no_torch([name])


def test_listing_the_claims_never_imports_torch() -> None:
    run = "from byheart.cli.main import main; assert main(['claims', '--json']) == 0"
    assert_no_torch([], run)


def test_every_public_name_is_there_when_asked_for() -> None:
    for name in byheart.__all__:
        assert getattr(byheart, name) is not None
        assert name in dir(byheart)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'by_head'"):
        _ = byheart.by_head


def assert_no_torch(names: list[str], run: str = "") -> None:
    """Import modules in a fresh interpreter and see whether torch came along."""
    program = "\n".join(
        [*(f"import {name}" for name in names), run, "import sys; sys.exit('torch' in sys.modules)"]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch was imported"
