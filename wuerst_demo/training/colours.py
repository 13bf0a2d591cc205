"""The colours of previews that a checkpoint ships: fitted to pictures that it draws, written beside its decoder.

`python -m wuerst_demo train colours` does it for the cocktail; to be run again whenever its weights have changed, which
the file's fingerprint tells the program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from wuerst_demo.api import load_located
from wuerst_demo.model import colours
from wuerst_demo.model.files import locate
from wuerst_demo.model.preview import Palette


def fit_colours(checkpoint: Path, pictures: int = 64) -> None:
    """Draws so many pictures (a power of two) of the checkpoint's own examples, and writes the map fitted to them."""
    located = locate(str(checkpoint))
    of, path = colours.fingerprint(located), colours.beside(located)
    path.unlink(missing_ok=True)  # or it would be taken for good
    model = load_located(located, palette=Palette(of, path, enough=pictures))
    for k in range(pictures):
        # Few steps of the decoder: the map asks for colours, not for detail.
        prompt = model.examples[k % len(model.examples)] if model.examples else "a picture"
        model.generate(model.request(prompt=prompt, seed=k, decoder_steps=4))
        sys.stderr.write(f"\rColours: picture {k + 1} of {pictures}")
    sys.stderr.write("\n")
