"""`python -m wuerst_demo train`: trains a cocktail, stage after stage, or goes on where it stopped."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from wuerst_demo.api import load
from wuerst_demo.errors import SettingsError
from wuerst_demo.training.adopt import adopt, image_encoder
from wuerst_demo.training.colours import fit_colours
from wuerst_demo.training.contact import contact_sheet
from wuerst_demo.training.evaluate import evaluate
from wuerst_demo.training.export import export
from wuerst_demo.training.figures import curve, guidance, weights_grid
from wuerst_demo.training.judge import train_judge
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.stages import Training
from wuerst_demo.training.things import THINGS

STAGES = (
    *("draw", "vqgan", "encoder", "together", "decoder", "words", "prior", "judge", "export", "colours"),
    *("evaluate", "sheet", "figures"),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def main(argv: list[str]) -> int:
    """Runs the stages asked for. Returns the exit status.

    Raises SettingsError for arguments that make no sense, SetupError where the font or word list is missing, a stage
    comes before its turn, a checkpoint cannot be adopted, or the run's pictures were drawn for other arguments.
    """
    given = _arguments(argv)
    if given.threads > 0:
        torch.set_num_threads(given.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = _recipe(given, device)
    recipe.check()
    half = torch.bfloat16 if device.type == "cuda" or bfloat16_pays() else None
    sys.stderr.write(f"Training in {given.folder} on {device} in {half or torch.float32}.\n")
    training = Training(recipe, device, half)
    for stage in given.stages or STAGES:
        if stage == "adopt":
            adopt(recipe, given.export)
        elif stage == "draw":
            training.draw()
        elif stage == "vqgan":
            training.vqgan()
        elif stage == "encoder":
            training.encoder()
        elif stage == "together":
            training.together(training.vqgan())
        elif stage == "decoder":
            training.decoder(training.vqgan())
        elif stage == "words":
            training.words()
        elif stage == "prior":
            training.prior()
        elif stage == "export":
            export(recipe, training.tokenizer(), given.export)
        elif stage == "colours":
            fit_colours(given.export / "wuerstchen")
        elif stage == "judge":
            train_judge(recipe, device, half)
        else:
            _look(stage, recipe, device, half, given.export / "wuerstchen", given.prompts)
    return 0


def _look(
    stage: str, recipe: Recipe, device: torch.device, half: torch.dtype | None, checkpoint: Path, prompts: int
) -> None:
    """The stages that draw with an exported checkpoint. Tables go to standard output and into the run's folder."""
    # as on a processor, so that a table says the same wherever it was made
    model = load(str(checkpoint), dtype="float32")
    if stage == "sheet":
        contact_sheet(recipe, model, recipe.folder / "contact.jpg")
        return
    judge = train_judge(recipe, device, half)
    if stage == "evaluate":
        text = evaluate(model, judge, recipe, prompts, image_encoder(checkpoint.parent))
    else:
        steps, guided = max(1, prompts // 8), max(1, prompts // 5)
        text = f"{curve(model, judge, recipe, steps)}\n\n{guidance(model, judge, recipe, guided)}"
        weights_grid(model, recipe.folder / "weights.png")
    (recipe.folder / f"{stage}.md").write_text(text + "\n")
    sys.stdout.write(text + "\n")


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="python -m wuerst_demo train", description=__doc__)
    parser.add_argument(
        "stages",
        nargs="*",
        help=f"some of {', '.join(STAGES)}; all of them if none is named. "
        "Before them, adopt: takes up the exported checkpoint, to train it further",
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/cocktail"), help="where the run keeps its state")
    parser.add_argument("--export", type=Path, default=Path("assets/cocktail"), help="where the checkpoint goes")
    parser.add_argument("--minutes", type=float, help="end after about so many minutes of training; without: the steps")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies every stage's steps")
    parser.add_argument("--dial", type=int, help="size of all networks but the judge: 1 for tests; without: 4")
    parser.add_argument("--things", type=int, help=f"how many things to learn, of {len(THINGS)}; without: all")
    parser.add_argument("--scenes", type=int, help="how many scenes to draw; 28,000 without a GPU, 60,000 with one")
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies learning rates; after adopt, 0.3 or so")
    parser.add_argument(
        "--round",
        type=int,
        default=0,
        help="after adopt, how many rounds there were before: this one sees other batches",
    )
    parser.add_argument("--prompts", type=int, default=550, help="how many prompts to evaluate on")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0: all")
    given = parser.parse_args(argv)
    unknown = [stage for stage in given.stages if stage not in (*STAGES, "adopt")]
    if unknown:
        raise SettingsError(f"There is no stage '{unknown[0][:20]}'; the stages are {', '.join(STAGES)}, and adopt.")
    counts = [number for number in (given.things, given.dial, given.scenes, given.prompts) if number is not None]
    if not (min([1, *counts]) >= 1 and (given.things or 1) <= len(THINGS)):
        raise SettingsError(f"Give a dial, scenes and prompts of at least 1, and 1 to {len(THINGS)} things.")
    if not (0 < given.effort <= 1000 and (given.minutes is None or 0 < given.minutes <= 100_000)):
        raise SettingsError("Give an effort and minutes above 0.")
    if not (0 < given.rate <= 10 and 0 <= given.round <= 1000):
        raise SettingsError("Give a rate above 0 and up to 10, and a round from 0 to 1000.")
    return given


def _recipe(given: argparse.Namespace, device: torch.device) -> Recipe:
    """The usual recipe for the device, with what was asked for in place."""
    usual = Recipe.large(given.folder) if device.type == "cuda" else Recipe(given.folder)
    asked = {name: getattr(given, name) for name in ("dial", "things", "scenes", "minutes")}
    recipe = replace(usual, **{name: value for name, value in asked.items() if value is not None})
    return replace(
        recipe,
        rate=recipe.rate * given.rate,
        decoder_rate=recipe.decoder_rate * given.rate,
        round=given.round,
        captions=max(500, int(recipe.captions * min(1, given.effort))),
        vqgan_steps=max(1, int(recipe.vqgan_steps * given.effort)),
        encoder_steps=max(1, int(recipe.encoder_steps * given.effort)),
        together_steps=max(1, int(recipe.together_steps * given.effort)),
        decoder_steps=max(1, int(recipe.decoder_steps * given.effort)),
        words_steps=max(1, int(recipe.words_steps * given.effort)),
        prior_steps=max(1, int(recipe.prior_steps * given.effort)),
        composed=max(8, int(recipe.composed * min(1, given.effort))),
        judge_steps=max(1, int(recipe.judge_steps * given.effort)),
        judge_scenes=max(8, int(recipe.judge_scenes * min(1, given.effort))),
    )


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
