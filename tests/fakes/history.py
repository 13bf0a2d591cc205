"""Small images for a history, and an index that counts its work."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import zlib
from datetime import datetime
from pathlib import Path

from PIL import Image

from wuerst_demo.images.metadata import build_png_info
from wuerst_demo.request import Limits

LIMITS = Limits()


def write_image(path: Path, prompt: str = "a cat", negative: str = "", seed: int = 7, size: int = 8) -> Path:
    """Write an image of one colour with its request."""
    request = LIMITS.request({"prompt": prompt, "negative_prompt": negative, "seed": seed})
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), seed).save(path, "PNG", pnginfo=build_png_info(request, "cocktail"))
    return path


def write_album(root: Path, prompts: list[str], day: str = "2026-11-24") -> list[Path]:
    """Write images of one day, a second apart, in the order of the prompts."""
    stamp = datetime.fromisoformat(day)
    names = [f"{stamp:%Y%m%d}-12{number // 60:02}{number % 60:02}-seed{number}.png" for number in range(len(prompts))]
    drawn = enumerate(zip(names, prompts, strict=True))
    return [write_image(root / day / name, prompt, seed=number) for number, (name, prompt) in drawn]


def write_many_images(root: Path, count: int, a_day: int = 500) -> None:
    """Write images that differ in their prompts; every tenth is of a fox, every hundredth a favourite."""
    for number in range(count):
        day = datetime(2026, 1 + number // a_day // 28, 1 + number // a_day % 28)
        folder = root / f"{day:%Y-%m-%d}"
        if number % a_day == 0:
            folder.mkdir(parents=True)
        second = number % a_day
        name = f"{day:%Y%m%d}-00{second // 60:02}{second % 60:02}-seed{number}.png"
        (folder / name).write_bytes(_one_pixel_png(f"a {'cat' if number % 10 else 'fox'} number {number}"))
        if number % 100 == 0:
            (folder / f"{name}.favourite").touch()


def _one_pixel_png(prompt: str) -> bytes:
    """A PNG file of one pixel with the metadata of a prompt, thirty times as fast as an encoder."""
    record = {"format": 1, "program": "wuerst_demo 0", "checkpoint": "", "revision": "", "request": {"prompt": prompt}}
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    text = b"wuerst_demo\0\0\0\0\0" + json.dumps(record).encode()
    chunks = ((b"IHDR", header), (b"iTXt", text), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


class InstructionCounter:
    """Connects to an index and counts the instructions of SQLite's virtual machine, in tens."""

    def __init__(self) -> None:
        self.tens = 0

    def __call__(self, place: str) -> sqlite3.Connection:
        connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
        connection.set_progress_handler(self._more, 10)
        return connection

    def _more(self) -> None:
        self.tens += 1


def backdate_folders(root: Path) -> None:
    """Date all folders back, so that none counts as still changing."""
    for folder in (root, *(each for each in root.iterdir() if each.is_dir())):
        os.utime(folder, (1_700_000_000, 1_700_000_000))
