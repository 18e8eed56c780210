"""byheart never loads the libraries of the adapters; where one is missing, the remedy is named."""

import subprocess
import sys

import pytest

ADAPTERS = {
    "lightning": "lightning",
    "pytorch_lightning": "pytorch-lightning",
    "transformers": "transformers",
    "skorch": "skorch",
}
"""Each library that has an adapter of its name, and the extra that installs it."""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tracker_loads_none_of_them() -> None:
    found = f"import sys; print(sorted({set(ADAPTERS)} & set(sys.modules)))"
    assert run(f"import byheart; byheart.Tracker; byheart.IndexedDataset\n{found}") == "[]\n"


@pytest.mark.parametrize("library", ADAPTERS)
def test_a_library_that_is_missing_is_named_with_the_command_that_installs_it(library: str) -> None:
    program = (
        f"import sys; sys.modules['{library}'] = None\n"
        "from byheart.errors import InputError\n"
        "try:\n"
        f"    import byheart.auditing.adapters.{library}\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    assert f"pip install 'byheart[{ADAPTERS[library]}]'\n" in run(program)
