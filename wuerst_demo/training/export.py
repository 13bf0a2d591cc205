"""Export of a trained run: two folders laid out like the two repositories on the Hub, with float16 safetensors, and
beside them the weights that only training needs and the classifier.

Weight files of the two folders are at most 9 MB, so that a Space accepts them without large-file storage.
"""

import json
import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from diffusers import DDPMWuerstchenScheduler
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from wuerst_demo.checkpoints.network_config import LatentScaling
from wuerst_demo.training import models
from wuerst_demo.training.config import DEFAULTS, TrainingConfig
from wuerst_demo.training.data.captions import caption, plural
from wuerst_demo.training.data.scenes import is_combination_held_back, is_pair_held_back, sample_scene
from wuerst_demo.training.data.vocabulary import COLOURS, PAINTABLE, PLACES, STYLES, TIMES
from wuerst_demo.training.trainer import Modules, is_finished, load_ema, load_ema_weights

TRAINING_FILE, CLASSIFIER_FILE = "training.safetensors", "judge.safetensors"
"""Beside the two folders: weights that only training needs, and the classifier's."""


def export(config: TrainingConfig, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes `folder`/wuerstchen (decoder and VQGAN), `folder`/wuerstchen-prior, TRAINING_FILE and, if it has been
    trained, CLASSIFIER_FILE. Raises SetupError for a stage that has not been trained."""

    def load(stage: str, **networks: Any) -> Modules:
        return load_ema(config.folder, stage, networks)

    scale = config.scale
    vqgan = load("vqgan", vqgan=models.build_vqgan(scale))
    if is_finished(config.folder, "vqgan-decoder", config.stages["vqgan-decoder"].steps):
        load("vqgan-decoder", **models.vqgan_decoder_modules(vqgan["vqgan"]))
    text = models.build_text_encoder("decoder", scale, tokenizer)
    decoder = load("decoder", decoder=models.build_decoder(scale), text=text) | vqgan
    if is_finished(config.folder, "distil", config.stages["distil"].steps):
        decoder |= load("distil", decoder=decoder["decoder"])
    text = models.build_text_encoder("prior", scale, tokenizer)
    prior = load("prior", prior=models.build_prior(scale), text=text)
    _write_pipeline(folder / "wuerstchen", "WuerstchenDecoderPipeline", decoder, tokenizer, "latent_dim_scale")
    numbers = ("latent_mean", "latent_std", "resolution_multiple")
    _write_pipeline(folder / "wuerstchen-prior", "WuerstchenPriorPipeline", prior, tokenizer, *numbers)
    _write_training_file(config, folder / TRAINING_FILE)
    (folder / CLASSIFIER_FILE).unlink(missing_ok=True)  # it may be for other things
    if is_finished(config.folder, "judge", config.stages["judge"].steps):
        save_file(load_ema_weights(config.folder, "judge")["judge"], folder / CLASSIFIER_FILE)
    known = {thing.name for thing in config.known}
    examples = [prompt for prompt, names in DEFAULTS["checkpoint"]["examples"].items() if known.issuperset(names)]
    info = {**DEFAULTS["checkpoint"], "examples": examples, "things": len(known), "knows": known_vocabulary(config)}
    (folder / "wuerstchen" / "README.md").write_text(_model_card(config))
    (folder / "wuerstchen" / "demo.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n")


def _write_training_file(config: TrainingConfig, path: Path) -> None:
    """Writes image encoder and auxiliary heads, which `finetune` reads, in half precision."""
    encoder, decoder, prior = (load_ema_weights(config.folder, stage) for stage in ("together", "decoder", "prior"))
    modules = {name: encoder[name] for name in ("encoder", "sketcher", "namer")}
    modules |= {"drawing_hints": decoder["hints"], "reading_hints": prior["hints"]}
    tensors = {f"{name}.{key}": tensor for name, state in modules.items() for key, tensor in state.items()}
    halves = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    save_file({key: tensor.contiguous() for key, tensor in halves.items()}, path)


def _write_pipeline(
    folder: Path, pipeline: str, components: dict[str, Any], tokenizer: CLIPTokenizer, *numbers: str
) -> None:
    """Writes networks, tokenizer and scheduler in diffusers' layout, with these `numbers` of LatentScaling."""
    index: dict[str, Any] = {"_class_name": pipeline, **{name: getattr(LatentScaling, name) for name in numbers}}
    for key, component in components.items():
        name = "text_encoder" if key == "text" else key
        # files of an earlier export, with other shards, would be read instead
        for stale in (*(folder / name).glob("*.safetensors"), *(folder / name).glob("*.index.json")):
            stale.unlink()
        component.half().save_pretrained(folder / name, max_shard_size="9MB")
        index[name] = ["transformers" if name == "text_encoder" else "wuerstchen", type(component).__name__]
    tokenizer.save_pretrained(folder / "tokenizer")
    # vocab.json and merges.txt, as older libraries and other programs read a CLIP tokenizer
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    scheduler: Any = DDPMWuerstchenScheduler()  # type: ignore[no-untyped-call]
    scheduler.save_pretrained(folder / "scheduler")
    index |= {"tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDPMWuerstchenScheduler"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def known_vocabulary(config: TrainingConfig) -> list[str]:
    """All names of the things this run learns, then every other word of its captions, lower case, each once."""
    rng = Random(0)
    captions = (caption(sample_scene(rng, config.known), rng) for _ in range(5000))
    texts = (*captions, *map(plural, config.names))  # 5,000 captions do not have the plurals of all things
    words = {word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())}
    return list(dict.fromkeys([*config.names, *sorted(words)]))


def _model_card(config: TrainingConfig) -> str:
    """The decoder's README from card.md: front matter as on the Hub, and what the run knows."""
    known = config.known
    held_back = {
        f"pairs of a thing and a {kind}": [is_combination_held_back(t.name, each) for t in known for each in table]
        for kind, table in (("place", (*PLACES, *COLOURS)), ("style", STYLES))
    }
    held_back["pairs of things"] = [is_pair_held_back(*pair) for pair in combinations(known, 2)]
    words: dict[str, Iterable[str]] = {"places": PLACES, "colours": COLOURS, "times": TIMES, "styles": STYLES}
    template = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return template.format(
        count=len(known),
        things="\n".join(f"- {', '.join(thing.names)}" for thing in known),
        paintable=", ".join(thing.name for thing in known if thing.name in PAINTABLE),
        held_back=", ".join(f"{sum(flags)} of the {len(flags)} {pairs}" for pairs, flags in held_back.items()),
        **{name: ", ".join(table) for name, table in words.items()},
    )
