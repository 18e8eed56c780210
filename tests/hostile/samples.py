"""Small valid files of every format that is read."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.data.conftest import idx_bytes

RNG = np.random.default_rng(0)


def idx_files() -> list[bytes]:
    """Return images and labels, plain and gzipped."""
    images = RNG.integers(256, size=(6, 3, 4), dtype=np.uint8)
    plain = [idx_bytes(images), idx_bytes(np.arange(6, dtype=np.uint8) % 3)]
    return [*plain, *(gzip.compress(one, mtime=0) for one in plain)]


def cifar_batch() -> bytes:
    """Return three records of the binary version."""
    records = RNG.integers(256, size=(3, 3073), dtype=np.uint8)
    records[:, 0] = (0, 1, 9)
    return records.tobytes()


def npz_files() -> list[bytes]:
    """Return arrays as numpy writes them: stored and deflated, of several types."""
    x, y = RNG.random((6, 3)), np.arange(6) % 2
    names = np.array(["cat", "dog"])
    bytes_ = RNG.integers(256, size=(6, 3), dtype=np.uint8)
    return [
        _npz(np.savez, x=x, y=y),
        _npz(np.savez_compressed, x=bytes_, y=y.astype(np.uint8), classes=names),
        _npz(np.savez, x=np.asfortranarray(x), y=y.astype(">i4")[:, None]),
        _npz(np.savez, x=x.astype(object), y=y),
        _npz(np.savez, x=x.astype("f4"), y=np.zeros(6, [("a", "i4"), ("b", "f8")])),
    ]


def _npz(save: Any, **arrays: Any) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def tables() -> dict[str, list[bytes]]:
    """Return small tables by the ending of their files: numbers, names, texts, dates and gaps."""
    rows = [
        (0.5, "red", "2024-01-05", "good"),
        (1.5, "", "2024-02-06", "bad"),
        ("", "blue", "", "good"),
    ]
    names = ("size", "colour", "bought on", "target")
    lines = [",".join(map(str, row)) for row in (names, *rows * 4)]
    plain = "\n".join(lines)
    objects = [dict(zip(names, row, strict=True)) for row in rows * 4]
    return {
        ".csv": [
            plain.encode(),
            plain.replace(",", ";").replace("0.5", "0,5").encode("utf-16"),
            plain.replace("red", '"r\u00e9d, ""dark"""').replace("\n", "\r\n").encode("cp1252"),
            plain.replace(",", "\t").encode("utf-8-sig"),
        ],
        ".jsonl": ["\n".join(map(json.dumps, objects)).encode(), json.dumps(objects).encode()],
    }


def images() -> list[bytes]:
    """Return a picture of 5 x 4 pixels in every format and mode that pillow writes."""
    pixels = Image.fromarray(RNG.integers(256, size=(4, 5, 3), dtype=np.uint8))
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "GIF": ("P",),
        "BMP": ("1", "L", "P", "RGB"),
        "TIFF": ("1", "L", "P", "RGB", "CMYK", "LAB", "F", "I"),
        "WEBP": ("RGB", "RGBA"),
        "PPM": ("1", "L", "RGB"),
    }
    return [_image(pixels, kind, mode) for kind, own in modes.items() for mode in own] + [
        _animated(pixels, kind) for kind in ("GIF", "PNG", "TIFF", "WEBP")
    ]


def _image(pixels: Image.Image, kind: str, mode: str) -> bytes:
    file = io.BytesIO()
    if mode == "LAB":
        Image.frombytes("LAB", pixels.size, pixels.tobytes()).save(file, kind)
    elif mode == "I;16":
        Image.fromarray(np.asarray(pixels.convert("L")).astype(np.uint16)).save(file, kind)
    else:
        pixels.convert(mode).save(file, kind)
    return file.getvalue()


def _animated(pixels: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    pixels.save(file, kind, save_all=True, append_images=[pixels.rotate(180)])
    return file.getvalue()


def class_folder(root: Path, contents: dict[str, bytes]) -> Path:
    """Write files below a folder, and return it."""
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root
