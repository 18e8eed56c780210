"""Images of any size and mode as arrays of bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from byheart.data.files import require_file, require_room
from byheart.errors import DataError, InputError
from byheart.texts import visible

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are tried for any file name: pillow would run an EPS file in Ghostscript."""
MOST_PIXELS = 2**24
"""Pixels of an image: no network takes more than 4096 x 4096, and a few bytes can claim more."""
MOST_PIXELS_TO_RESIZE = 2**27
"""The same if it is made smaller: photos have up to 100 million."""
SIDE = 64
"""Pixels on a side of images that come in several sizes."""
MOST_SIDE = 1024
GREY = frozenset({"1", "L", "LA"})
DEEP = frozenset({"F", "I"})
_ORIENTATION = 0x0112
"""Tag of EXIF: how the camera was held. From 5 on, width and height are exchanged."""

Bytes = npt.NDArray[np.uint8]


class UnusableError(Exception):
    """An image that cannot be used; the message is the reason, without the name of the file."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of some images, and the side to which they are brought.

    Attributes:
        found: width and height of the images, each size once.
        side: pixels on a side of all images after resizing; None if they stay as they are.
    """

    found: frozenset[tuple[int, int]]
    side: int | None

    @classmethod
    def of(cls, sizes: Iterable[tuple[int, int]], resize: int | None) -> Sizes:
        """Return the side that was asked for, or 64 if the images have several sizes."""
        found = frozenset(sizes)
        return cls(found, resize or (SIDE if len(found) > 1 else None))

    def note(self) -> str | None:
        """Return what was done to the images as a sentence; None if nothing was."""
        if self.side is None or self.found == {(self.side, self.side)}:
            return None
        low, high = min(self.found), max(self.found)
        had = f"are of {low[0]}x{low[1]} pixels" if len(self.found) == 1 else (
            f"have {len(self.found):,} sizes, from {low[0]}x{low[1]} to {high[0]}x{high[1]} pixels"
        )  # fmt: skip
        return (
            f"Images {had}, and were brought to {self.side}x{self.side}, with black margins where "
            "they are not square"
        )


def require_side(resize: object) -> None:
    """Refuse a side that images cannot be brought to.

    Raises:
        InputError: it is no whole number from 4 to 1024.
    """
    if resize is None:
        return
    if isinstance(resize, bool) or not isinstance(resize, int) or not 4 <= resize <= MOST_SIDE:
        raise InputError(f"resize must be a whole number from 4 to {MOST_SIDE}, got {resize!r}")


def size_of(path: Path) -> tuple[int, int]:
    """Return width and height of an image as it is shown, by the header of its file.

    Raises:
        UnusableError: the file is damaged, no image, or one of too many pixels.
    """
    with _Opened(path) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image as it is shown."""
    # For PNG, image.getexif() would read all pixels to look for EXIF data behind them.
    turned = Image.Image.getexif(image).get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else (image.width, image.height)


def read_pixels(path: Path, side: int | None) -> Bytes:
    """Return the pixels of an image, [H, W] if it is grey, else [H, W, 3].

    Args:
        path: the file; if it holds several images, the first is read.
        side: pixels on a side after resizing; None to keep the size.

    Raises:
        UnusableError: the file is damaged, no image, or one of too many pixels.
    """
    with _Opened(path) as image:
        _require_few_pixels(image, MOST_PIXELS if side is None else MOST_PIXELS_TO_RESIZE)
        if side is not None:
            # JPEG files can be read at a half, a quarter or an eighth of their size.
            image.draft(None, (2 * side, 2 * side))
        image.load()
        return to_pixels(image, side)


def to_pixels(image: Image.Image, side: int | None) -> Bytes:
    """Return the pixels of an image; see :func:`read_pixels`. Transparent parts become white.

    Raises:
        UnusableError: it has more than 8 bits a channel.
    """
    if image.mode[0] in DEEP:
        raise UnusableError("has more than 8 bits a channel: convert it to 8 bits")
    with warnings.catch_warnings(action="ignore"):
        try:
            shown = _opaque(ImageOps.exif_transpose(image))
        except ValueError as error:
            raise UnusableError(f"cannot be made grey or RGB: {error}: convert it") from None
    if side is not None and shown.size != (side, side):
        shown.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        shown = ImageOps.pad(shown, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(shown)


def _opaque(image: Image.Image) -> Image.Image:
    """Return an image as grey or RGB."""
    mode = "L" if image.mode in GREY else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image.convert("RGBA"))
    return white.convert(mode)


class _Opened:
    """Opens an image for a ``with`` block; what pillow raises becomes an UnusableError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._quiet = warnings.catch_warnings(action="ignore")

    def __enter__(self) -> Image.Image:
        # What pillow would only warn of either loads or is an error below.
        self._quiet.__enter__()
        try:
            require_file(self._path)
            self._image = Image.open(self._path, formats=FORMATS)
            _require_few_pixels(self._image, MOST_PIXELS_TO_RESIZE)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self._image

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        self._quiet.__exit__(None, None, None)
        if hasattr(self, "_image"):
            self._image.close()
        if error is None or isinstance(error, UnusableError) or not isinstance(error, Exception):
            return
        if isinstance(error, DataError):
            raise UnusableError(str(error).removeprefix(f"{visible(str(self._path))} ")) from None
        if isinstance(error, UnidentifiedImageError):
            raise UnusableError(
                f"is no image that pillow can read as {', '.join(FORMATS)}: remove or repair it"
            ) from None
        # What pillow raises of a damaged file is documented nowhere, and of a dozen kinds.
        raise UnusableError(f"is a damaged image: {error or type(error).__name__}") from None


def _require_few_pixels(image: Image.Image, most: int) -> None:
    if image.width * image.height > most:
        raise UnusableError(
            f"has {image.width}x{image.height} pixels, where {most:,} are the most: "
            "make it smaller, for example with resize (--resize N)"
        )


class Pixels:
    """Collects the pixels of images, and sees that they fit into memory together."""

    def __init__(self) -> None:
        self._arrays: list[Bytes] = []

    def add(self, name: str, pixels: Bytes) -> None:
        """Add an image that ``name`` stands for in errors.

        Raises:
            DataError: the image has another size than those before, or the images are more than a
                data set may take.
        """
        try:
            require_room(name, (len(self._arrays) + 1, pixels.size))
        except DataError as error:
            raise DataError(
                f"{error}, or bring images to N pixels with resize (--resize N)"
            ) from None
        if self._arrays and pixels.shape[:2] != self._arrays[0].shape[:2]:
            raise DataError(
                f"{name} has {pixels.shape[1]}x{pixels.shape[0]} pixels, unlike the images before: "
                "bring all to N pixels with resize (--resize N)"
            )
        self._arrays.append(pixels)

    def stacked(self) -> Bytes:
        """Return bytes ``[N, H, W]``, or ``[N, 3, H, W]`` if any image has colours."""
        arrays: Sequence[Bytes] = self._arrays
        if all(array.ndim == 2 for array in arrays):
            return np.stack(arrays)
        coloured = [a if a.ndim == 3 else np.repeat(a[..., None], 3, axis=2) for a in arrays]
        return np.stack(coloured).transpose(0, 3, 1, 2)
