"""A user's own network: made by a factory that is named, with weights from a file."""

from __future__ import annotations

import contextlib
import importlib
import pickle
import pickletools
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from byheart.errors import InputError, choose
from byheart.seeds import seed

Factory = Callable[[], nn.Module]
Source = str | Factory
"""A factory, or "package.module:callable" that names one."""

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Under these names training frameworks keep the weights inside a larger checkpoint."""
_LOOK = 2**20
"""Names are searched in this many bytes of a pickle."""
_NAMED = 3
_HARMLESS = ("torch", "collections")
_SAVE = "save it again with torch.save(model.state_dict(), path)"


def called(source: Source) -> str:
    """Return what errors call a factory: by the option or the argument that it came by."""
    if isinstance(source, str):
        return f"--model {source}"
    name = getattr(source, "__qualname__", type(source).__qualname__)
    return f"model_factory {getattr(source, '__module__', '')}.{name}"


def find_factory(name: Source) -> Factory:
    """Return the factory that "package.module:callable" names; a factory itself is returned as is.

    Importing the module runs its code: it is the one way in which byheart runs a user's code. The
    current folder is searched first, as by ``python -m``.

    Raises:
        InputError: the name has another form, or leads to no callable.
    """
    if not isinstance(name, str):
        if isinstance(name, nn.Module) or not callable(name):
            raise InputError(
                f"model_factory is a {type(name).__name__}: give a callable that returns a fresh "
                "torch.nn.Module, or 'package.module:callable'"
            )
        return name
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise InputError(f"--model is '{name}': write it as package.module:callable")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not module_name.startswith(error.name):
            raise
        raise InputError(
            f"--model {name}: no module '{error.name}': run from its folder, or install it"
        ) from error
    public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    if not hasattr(module, attribute):
        choose(f"callable in {module_name}", attribute, public)
    factory = getattr(module, attribute)
    if not callable(factory):
        raise InputError(f"--model {name}: it is a {type(factory).__name__}, not a callable")
    return cast(Factory, factory)


def make_module(name: Source) -> nn.Module:
    """Return the network that a factory makes.

    Raises:
        InputError: the factory fails, or makes no module.
    """
    factory = find_factory(name)
    try:
        model = factory()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{called(name)}: it is called without arguments, and raised {type(error).__name__}: "
            f"{reason}"
        ) from error
    if not isinstance(model, nn.Module):
        raise InputError(
            f"{called(name)}: it returned a {type(model).__name__}, not a torch.nn.Module"
        )
    return model


def initialised(name: Source, seed_: int, *, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the network that a factory makes, with initial weights that a seed determines.

    A user's factory draws them from torch's random numbers, which are seeded for it and go on
    afterwards as if nothing had been drawn.

    Args:
        name: the factory, or "module:callable".
        seed_: seed of the replica.
        dtype: dtype of its weights.

    Raises:
        InputError: the factory fails, makes no module, or one without sizes.
    """
    # Importing the module may draw random numbers, and happens once: before they are seeded.
    find_factory(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed("init", seed_))
        model = make_module(name)
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise InputError(f"{called(name)}: the network has lazy layers: give every layer its sizes")
    return model.to(device="cpu", dtype=dtype)


def logits_of(output: Any) -> Any:
    """Return the logits in what a network returns.

    That is a tensor; or its attribute or item "logits", as in outputs of transformers; or the first
    tensor of two dimensions or more in a tuple or mapping. What has none is returned as it is.
    """
    if isinstance(output, Tensor):
        return output
    named = getattr(output, "logits", None)
    values = list(output.values()) if isinstance(output, Mapping) else output
    if isinstance(output, Mapping):
        named = output.get("logits", named)
    if isinstance(named, Tensor):
        return named
    if not isinstance(values, tuple | list):
        return output
    return next((v for v in values if isinstance(v, Tensor) and v.dim() >= 2), output)


def make_model(name: str, checkpoint: Path) -> nn.Module:
    """Return the network that a factory makes, with the weights of a checkpoint.

    Raises:
        InputError: the factory makes no module, or the weights are missing, unsafe or not its own.
    """
    model = make_module(name)
    weights = load_weights(checkpoint)
    expected = set(model.state_dict())
    missing, unknown = sorted(expected - set(weights)), sorted(set(weights) - expected)
    if missing or unknown:
        which = f"'{missing[0]}' is missing" if missing else f"'{unknown[0]}' is not in the model"
        raise InputError(
            f"{checkpoint}: its weights are not those of --model {name}: {which} "
            f"({len(missing)} missing, {len(unknown)} unknown): name the factory it was saved from"
        )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{checkpoint}: its weights do not fit --model {name}: {reason}"
        ) from error
    return model


def load_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the weights in a checkpoint, without running any code that it may hold.

    Args:
        path: what ``torch.save(model.state_dict(), path)`` wrote, or a dict that holds a state
            dict under "state_dict", "model_state_dict" or "model"; or a ``.safetensors`` file.

    Raises:
        InputError: there is no such file, or it holds anything but tensors and plain values.
    """
    loaded = read_checkpoint(path)
    for name in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping) or not all(_is_weight(*item) for item in loaded.items()):
        raise InputError(
            f"{path}: holds no state dict: save it with torch.save(model.state_dict(), path)"
        )
    return loaded


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and not value.is_complex()


def read_checkpoint(path: Path) -> Any:
    """Return what a checkpoint holds, without running any code that it may hold.

    Args:
        path: what ``torch.save`` wrote, or a ``.safetensors`` file.

    Raises:
        InputError: there is no such file, it is damaged, or it holds anything but tensors and plain
            values; what it would have called is named.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    try:
        zipped = _is_plain_zip(path)
        with warnings.catch_warnings(action="ignore"):
            # Mapped, a tensor is a part of the file and can be no larger, whatever is claimed.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: it holds more than weights{_called(path, error)}, and loading it could run "
            f"code: {_SAVE}"
        ) from error
    except InputError:
        raise
    except Exception as error:
        # What torch raises of a damaged file is documented nowhere, and of a dozen kinds.
        raise InputError(f"{path}: not a checkpoint that torch can read, or damaged") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        # SafetensorError of a damaged file, others of a type that torch does not have.
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a safetensors file, or damaged: {reason}: save it again"
        ) from error


def _is_plain_zip(path: Path) -> bool:
    """Return whether a file is a zip as torch writes them: what is within is not compressed.

    Raises:
        InputError: it is another one, which a few kilobytes could make as large as they like.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise InputError(f"{path}: it is compressed, which torch never does: {_SAVE}")
    return True


def _called(path: Path, error: pickle.UnpicklingError) -> str:
    """Return what a pickle would have called, in parentheses, as far as that can be told."""
    _, marker, rest = str(error).partition("GLOBAL ")
    names = rest.split()[:1] if marker else list(dict.fromkeys(_globals(path)))[:_NAMED]
    return f" ({', '.join(names)})" if names else ""


def _globals(path: Path) -> list[str]:
    """Return what a bare pickle names beside tensors and dicts; nothing of it is run.

    torch does not read pickles of protocol 4 and newer, and so does not say.
    """
    words, names = ["", ""], []
    with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
        for code, argument, _ in pickletools.genops(path.read_bytes()[:_LOOK]):
            if code.name == "STACK_GLOBAL" and not words[-2].startswith(_HARMLESS):
                names.append(".".join(words[-2:]))
            elif isinstance(argument, str):
                words.append(argument)
    return names
