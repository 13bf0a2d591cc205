"""`python -m wuerst_demo train`: trains a cocktail stage by stage, resuming where an earlier run stopped."""

import argparse
import sys
import timeit
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from wuerst_demo.api import Wuerstchen, load
from wuerst_demo.errors import SettingsError
from wuerst_demo.options import OptionParser
from wuerst_demo.training.config import DEFAULTS, TrainingConfig
from wuerst_demo.training.data.vocabulary import THINGS
from wuerst_demo.training.distil import distil
from wuerst_demo.training.evaluation import report
from wuerst_demo.training.evaluation.classifier import train_classifier
from wuerst_demo.training.evaluation.evaluate import evaluate
from wuerst_demo.training.evaluation.morphs import morphs_table
from wuerst_demo.training.export import export
from wuerst_demo.training.finetune import adopt, load_image_encoder
from wuerst_demo.training.stages import TrainingRun
from wuerst_demo.training.vqgan_decoder import train_vqgan_decoder

RUN_STAGES = ("draw", "vqgan", "encoder", "together", "decoder", "words", "prior")  #: Methods of TrainingRun.
STAGES = (*RUN_STAGES, "judge", "export", "colours", "evaluate", "sheet", "figures")
ASKED_STAGES = ("adopt", "distil", "vqgan-decoder", "samplers", "morphs")  #: Only where they are named.


def main(argv: list[str]) -> int:
    """Runs the requested stages and returns the exit status.

    Raises SettingsError for invalid arguments; SetupError if the font or the word list is missing, if an earlier stage
    has not been trained, if a checkpoint cannot be adopted, or if the run's images were rendered with other settings.
    """
    parser = _create_parser()
    args = parser.parse(argv)
    if args.help:
        sys.stdout.write(parser.format_help())
        return 0
    _check_arguments(args)
    if args.threads > 0:
        torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = TrainingConfig.for_gpu(args.folder) if device.type == "cuda" else TrainingConfig(args.folder)
    given = {name: value for name, value in vars(args).items() if name in ("scale", "things", "scenes", "minutes")}
    config = replace(config.scaled(args.effort, args.rate), round=args.round, **given)
    config.check()
    half = torch.bfloat16 if device.type == "cuda" or is_bfloat16_faster() else None
    sys.stderr.write(f"Training in {args.folder} on {device} in {half or torch.float32}.\n")
    run = TrainingRun(config, device, half)
    actions: dict[str, Callable[[], object]] = {
        "adopt": lambda: adopt(config, args.export),
        "distil": lambda: distil(run),
        "vqgan-decoder": lambda: train_vqgan_decoder(run),
        "judge": lambda: train_classifier(config, device, half),
        "export": lambda: export(config, run.tokenizer, args.export),
        "colours": lambda: report.fit_preview_map(args.export / "wuerstchen"),
        "evaluate": lambda: _report(run, args, "evaluate"),
        "sheet": lambda: report.contact_sheet(config, _load(args), config.folder / "contact.jpg"),
        "figures": lambda: _report(run, args, "figures"),
        "samplers": lambda: _report(run, args, "samplers"),
        "morphs": lambda: _report(run, args, "morphs"),
        **{name: getattr(run, name) for name in RUN_STAGES},
    }
    for stage in args.stages or STAGES:
        actions[stage]()
    return 0


def _load(args: argparse.Namespace) -> Wuerstchen:
    """The exported checkpoint in float32, as on a CPU, so that tables do not depend on the machine."""
    return load(str(args.export / "wuerstchen"), dtype="float32")


def _report(run: TrainingRun, args: argparse.Namespace, name: str) -> None:
    """Prints the tables of "evaluate", "samplers", "morphs" or "figures", and writes them into the run's folder;
    "figures" writes the grid of weights, too."""
    config, model = run.config, _load(args)
    classifier = train_classifier(config, run.device, run.half)
    if name == "evaluate":
        text = evaluate(model, classifier, config, args.prompts, load_image_encoder(args.export))
    elif name == "morphs":
        text = morphs_table(model, classifier, config)
    elif name == "samplers":
        text = report.samplers_table(model, classifier, config, args.prompts)
    else:
        text = report.steps_and_guidance_tables(model, classifier, config, args.prompts)
        report.weights_grid(model, config.folder / "weights.png")
    (config.folder / f"{name}.md").write_text(text + "\n")
    sys.stdout.write(text + "\n")


def _create_parser() -> OptionParser:
    parser = OptionParser("wuerst train [STAGE ...] [options]", __doc__)
    names = f"some of {', '.join(STAGES)} (default: all); before them, adopt: continues from the exported checkpoint;"
    names += (
        " after them, distil: the decoder learns its own guidance; vqgan-decoder: the VQGAN learns clean edges;"
        " samplers: compares samplers; morphs: judges frames"
    )
    parser.add_argument("stages", nargs="*", default=[], help=names)
    types = {"path": Path, "number": float, "count": int}
    for name, declared in DEFAULTS["options"].items():
        parser.add_argument(f"--{name}", **{**declared, "type": types[declared["type"]]})
    return parser


def _check_arguments(args: argparse.Namespace) -> None:
    """Raises SettingsError for unknown stages and numbers out of range."""
    given = {"minutes": 1.0, "scale": 1, "things": 1, "scenes": 1, **vars(args)}
    unknown = [stage for stage in args.stages if stage not in (*STAGES, *ASKED_STAGES)]
    if unknown:
        names = f"{', '.join(STAGES)}, {', '.join(ASKED_STAGES)}"
        raise SettingsError(f"There is no stage '{unknown[0][:20]}'; the stages are {names}.")
    if min(given[name] for name in ("things", "scale", "scenes", "prompts")) < 1 or given["things"] > len(THINGS):
        raise SettingsError(f"--dial, --scenes and --prompts must be at least 1, --things 1 to {len(THINGS)}.")
    if not (0 < args.effort <= 1000 and 0 < given["minutes"] <= 100_000):
        raise SettingsError("--effort must be above 0 and up to 1,000, --minutes above 0 and up to 100,000.")
    if not (0 < args.rate <= 10 and 0 <= args.round <= 1000):
        raise SettingsError("--rate must be above 0 and up to 10, --round 0 to 1,000.")


def is_bfloat16_faster() -> bool:
    """Whether this CPU multiplies bfloat16 matrices at least twice as fast as float32 ones, as measured: on some it
    takes hundreds of times as long."""

    def measure_s(dtype: torch.dtype) -> float:
        a, b = torch.randn(512, 256).to(dtype), torch.randn(256, 512).to(dtype)
        return min(timeit.repeat(lambda: a @ b, number=1, repeat=5))

    return measure_s(torch.bfloat16) * 2 < measure_s(torch.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
