"""Options of `generate` for going on from pictures: `--vary FILE --variation LEVEL --redraw WHERE`, and
`--morph FILE FILE --frames N`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wuerst_demo.errors import SettingsError
from wuerst_demo.options import request_flag
from wuerst_demo.redraw_mask import is_cell_list, mask_of_cells, mask_of_image
from wuerst_demo.request import DEFAULT_FRAMES, DESCRIPTIONS, MAX_FRAMES, MIN_FRAMES
from wuerst_demo.variation import decode_image_embeddings, redraw

DEFAULT_LEVEL = 0.5


def add_variation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options in a section of their own."""
    section = parser.add_argument_group("Going on from a picture")
    section.add_argument(
        "--vary",
        metavar="FILE",
        help="Vary a picture of this demo: its prompt and settings, unless given, and its composition.",
    )
    section.add_argument(
        "--variation",
        metavar="LEVEL",
        help=f"How far to leave it: 0 (only new details) to 1 (a new picture); default: {DEFAULT_LEVEL}, and 1 with"
        " --redraw.",
    )
    section.add_argument(
        "--redraw",
        metavar="WHERE",
        help="Redraw a region alone: a mask image, white where, or cells as COLUMN,ROW with ranges, such as 2-4,3; a"
        " cell is about 43 pixels wide.",
    )
    section.add_argument(
        "--morph",
        metavar="FILE FILE",
        help="Generate the way from one picture of this demo to another, and an animation of it.",
    )
    section.add_argument(
        "--frames",
        metavar="N",
        help=f"Pictures on that way, the two included: {MIN_FRAMES} to {MAX_FRAMES}; default: {DEFAULT_FRAMES}.",
    )


def read_variation(given: argparse.Namespace) -> dict[str, object]:
    """Values of a request for these options, none where they are not given.

    Raises SettingsError for a level that is not from 0 to 1 and for a file that is no mask, MetadataError for a file
    without a composition, and InvalidRequest for a mask that does not fit.
    """
    options = vars(given)
    if "vary" not in options:
        for name in ("variation", "redraw"):
            if name in options:
                raise SettingsError(f"--{name} needs a picture: add --vary FILE.")
        return {}
    from wuerst_demo.images.metadata import read_image_settings

    where, settings = options.get("redraw"), read_image_settings(Path(options["vary"]))
    varied = settings.vary(_parse_level(options.get("variation"), DEFAULT_LEVEL if where is None else 1.0))
    if where is None:
        return varied
    return redraw(varied, _read_mask(where, settings.image_embeddings, Path(options["vary"])))


def _read_mask(where: str, image_embeddings: str, picture: Path) -> str:
    """The mask of a list of cells or an image file, for a picture."""
    from PIL import Image

    shape = decode_image_embeddings(image_embeddings).shape[1:]
    if is_cell_list(where):
        return mask_of_cells(where, shape)
    try:
        with Image.open(where) as image, Image.open(picture) as earlier:
            return mask_of_image(image, shape, earlier.size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        shown = " ".join(where.split())[-100:]
        raise SettingsError(
            f"--redraw takes a mask image, or cells such as 2-4,3: {shown} is neither, or cannot be read."
        ) from error


def read_morph(given: argparse.Namespace, words: Sequence[str]) -> dict[str, object]:
    """Values of a request for `--morph`, whose second picture is the one word that belongs to no option; none without
    it. Raises SettingsError, and MetadataError for a file without a composition."""
    options = vars(given)
    if "morph" not in options:
        if "frames" in options:
            raise SettingsError("--frames needs two pictures: add --morph FILE FILE.")
        return {}
    if len(words) != 1:
        raise SettingsError("--morph takes two pictures and no prompt: --morph FILE FILE.")
    fields = {name: request_flag(name) for name in DESCRIPTIONS if name != "prompt"}
    going_on = {name: f"--{name}" for name in ("vary", "variation", "redraw")}
    excluded = {**going_on, "prompts_file": "--from", **fields}
    for name, flag in excluded.items():
        if name in options:
            raise SettingsError(f"--morph takes everything from its two pictures: leave {flag} out.")
    from wuerst_demo.images.metadata import read_image_settings

    first, last = (read_image_settings(Path(file)) for file in (options["morph"], words[0]))
    return first.morph(last, _parse_frames(options.get("frames")))


def _parse_level(text: str | None, default: float) -> float:
    try:
        level = default if text is None else float(text)
    except ValueError:
        level = -1.0
    if not 0 <= level <= 1:
        raise SettingsError("--variation must be a number from 0 to 1.")
    return level


def _parse_frames(text: str | None) -> int:
    frames = DEFAULT_FRAMES if text is None else int(text) if text.isascii() and text.isdigit() else 0
    if not MIN_FRAMES <= frames <= MAX_FRAMES:
        raise SettingsError(f"--frames must be a whole number from {MIN_FRAMES} to {MAX_FRAMES}.")
    return frames
