"""byheart never loads the libraries of the adapters; where one is missing, the remedy is named."""

import json
import subprocess
import sys

ADAPTERS = {
    "lightning": "lightning",
    "pytorch_lightning": "pytorch-lightning",
    "transformers": "transformers",
    "skorch": "skorch",
}
"""Each library that has an adapter of its name, and the extra that installs it."""

PROGRAM = """
import importlib, json, sys
import byheart

byheart.Tracker, byheart.IndexedDataset
libraries = sys.argv[1:]
print(json.dumps([name for name in libraries if name in sys.modules]))

from byheart.errors import InputError

errors = {}
for library in libraries:
    sys.modules[library] = None  # as if it were not installed
    try:
        importlib.import_module(f"byheart.auditing.adapters.{library}")
    except InputError as error:
        errors[library] = str(error)
print(json.dumps(errors))
"""


def test_the_tracker_loads_none_and_a_missing_one_is_named_with_what_installs_it() -> None:
    command = [sys.executable, "-c", PROGRAM, *ADAPTERS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded, errors = map(json.loads, done.stdout.splitlines())
    assert loaded == []
    assert errors.keys() == ADAPTERS.keys()
    for library, extra in ADAPTERS.items():
        assert errors[library].endswith(f"pip install 'byheart[{extra}]'")
