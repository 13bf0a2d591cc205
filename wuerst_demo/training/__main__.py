"""`python -m wuerst_demo train`: trains a cocktail, stage after stage, or goes on where it stopped."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import NoReturn

import torch

from wuerst_demo.errors import SettingsError
from wuerst_demo.training.colours import fit_colours
from wuerst_demo.training.contact import contact_sheet
from wuerst_demo.training.export import export
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.stages import Training
from wuerst_demo.training.things import THINGS

STAGES = ("draw", "vqgan", "encoder", "decoder", "prior", "export", "colours", "sheet")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def main(argv: list[str]) -> int:
    """Runs the stages asked for. Returns the exit status.

    Raises SettingsError for arguments that make no sense, SetupError where the font or the word list is missing.
    """
    parser = _Parser(prog="python -m wuerst_demo train", description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"some of {', '.join(STAGES)}; all of them if none is named")
    parser.add_argument("--folder", type=Path, default=Path("runs/cocktail"), help="where the run keeps its state")
    parser.add_argument("--dial", type=int, default=4, help="size of all networks: 1 for tests, 4 for the cocktail")
    parser.add_argument("--things", type=int, default=32, help="how many things to learn")
    parser.add_argument(
        "--world", choices=("plain", "full"), default="plain", help="one thing a scene, or all there is"
    )
    parser.add_argument("--scenes", type=int, default=5_000, help="how many scenes to draw")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies every stage's steps")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0: all")
    parser.add_argument("--export", type=Path, default=Path("assets/cocktail"), help="where the checkpoint goes")
    given = parser.parse_args(argv)
    unknown = [stage for stage in given.stages if stage not in STAGES]
    if unknown:
        raise SettingsError(f"There is no stage '{unknown[0][:20]}'; the stages are {', '.join(STAGES)}.")
    if not (1 <= given.things <= len(THINGS) and given.dial >= 1 and given.scenes >= 1 and given.effort > 0):
        raise SettingsError(f"Give a dial and scenes of at least 1, 1 to {len(THINGS)} things, an effort above 0.")
    if given.threads > 0:
        torch.set_num_threads(given.threads)
    plain = Recipe(given.folder)
    recipe = Recipe(
        given.folder,
        given.dial,
        given.things,
        given.world,
        given.scenes,
        vqgan_steps=int(plain.vqgan_steps * given.effort),
        encoder_steps=int(plain.encoder_steps * given.effort),
        decoder_steps=int(plain.decoder_steps * given.effort),
        prior_steps=int(plain.prior_steps * given.effort),
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = torch.bfloat16 if device.type == "cuda" or bfloat16_pays() else None
    sys.stderr.write(f"Training in {given.folder} on {device} in {half or torch.float32}.\n")
    training = Training(recipe, device, half)
    for stage in given.stages or STAGES:
        if stage == "draw":
            training.draw()
        elif stage == "vqgan":
            training.vqgan()
        elif stage == "encoder":
            training.encoder()
        elif stage == "decoder":
            training.decoder(training.vqgan())
        elif stage == "prior":
            training.prior(training.encoder()[1])
        elif stage == "export":
            export(recipe, training.tokenizer(), given.export)
        elif stage == "colours":
            fit_colours(given.export / "wuerstchen")
        elif stage == "sheet":
            contact_sheet(recipe, given.export / "wuerstchen", recipe.folder / "contact.png")
    return 0


def bfloat16_pays() -> bool:
    """True where this processor multiplies bfloat16 matrices at least twice as fast as float32 ones. Some do it
    hundreds of times slower, so it is measured, in a few hundredths of a second."""

    def seconds(dtype: torch.dtype, best: float = float("inf")) -> float:
        a, b = torch.randn(512, 256).to(dtype), torch.randn(256, 512).to(dtype)
        for _ in range(5):
            began = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - began)
        return best

    return seconds(torch.bfloat16) * 2 < seconds(torch.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
