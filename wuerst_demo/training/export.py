"""Writes a trained run as a checkpoint: two folders laid out like the Hub's two repositories, float16 safetensors, and
beside them a file of what only training needs, and the judge.

No file of the two is larger than 9 MB, so that a Space takes them without large-file storage.

Does not train and does not judge.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

from diffusers import DDPMWuerstchenScheduler
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from wuerst_demo.training import networks
from wuerst_demo.training.captions import caption, plural
from wuerst_demo.training.loop import averaged, finished, weights
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import held_back, pair_held_back, sample, style_held_back
from wuerst_demo.training.things import COLOURS, PAINTABLE, PLACES, STYLES, TIMES

WISHES: tuple[tuple[set[str], str], ...] = (
    ({"fox"}, "a fox in the snow at night"),
    ({"lion", "tiger"}, "a lion to the right of a tiger on the grass"),
    ({"pumpkin"}, "two pumpkins on the grass at night"),
    ({"cupcake"}, "three cupcakes on a turquoise background"),
    ({"cowboy"}, "a cowboy in the desert"),
    ({"dragon", "church"}, "a dragon above a church at sunset"),
    ({"rocket"}, "a rocket in space"),
    ({"clown", "balloon"}, "a clown and a balloon on a yellow background"),
    ({"cat", "dog"}, "a cat and a dog in the park"),
)
"""Examples, and the things that each needs."""
TRAINING = "training.safetensors"
"""The file of an exported checkpoint that only training reads."""
JUDGE = "judge.safetensors"
"""The file of the judge, beside a checkpoint of the things that it tells apart."""
LIBRARY = {"prior": "wuerstchen", "decoder": "wuerstchen", "vqgan": "wuerstchen", "scheduler": "diffusers"}


def export(recipe: Recipe, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes `folder`/wuerstchen (decoder and VQGAN), `folder`/wuerstchen-prior, `folder`/training.safetensors and
    (where one has been trained) `folder`/judge.safetensors from what the run has saved."""
    dial = recipe.dial
    vqgan = averaged(recipe.folder, "vqgan", {"vqgan": networks.vqgan(dial)})["vqgan"]
    drawing = averaged(
        recipe.folder,
        "decoder",
        {"decoder": networks.decoder(dial), "text": networks.decoder_text(dial, tokenizer)},
    )
    composing = averaged(
        recipe.folder,
        "prior",
        {"prior": networks.prior(dial), "text": networks.prior_text(dial, tokenizer)},
    )
    _write(
        folder / "wuerstchen",
        "WuerstchenDecoderPipeline",
        {"decoder": drawing["decoder"], "vqgan": vqgan, "text_encoder": drawing["text"]},
        tokenizer,
        {"latent_dim_scale": 10.67},
    )
    _write(
        folder / "wuerstchen-prior",
        "WuerstchenPriorPipeline",
        {"prior": composing["prior"], "text_encoder": composing["text"]},
        tokenizer,
        {"latent_mean": 42.0, "latent_std": 1.0, "resolution_multiple": 42.67},
    )
    _write_training(recipe, folder / TRAINING)
    (folder / JUDGE).unlink(missing_ok=True)  # it may be of other things
    if finished(recipe.folder, "judge", recipe.judge_steps):
        save_file(weights(recipe.folder, "judge")["judge"], folder / JUDGE)
    demo = {
        "title": "Cocktail",
        "limits": {
            "width": {"least": 256, "most": 384, "default": 256},
            "height": {"least": 256, "most": 384, "default": 256},
            "prior_steps": {"default": 5},
            "prior_guidance": {"default": 2.0},
            "decoder_steps": {"default": 4},
            "decoder_guidance": {"default": 3.0},
        },
        "examples": _examples(recipe),
        "things": len(recipe.known),
        "knows": known_words(recipe),
    }
    (folder / "wuerstchen" / "README.md").write_text(_card(recipe))
    (folder / "wuerstchen" / "demo.json").write_text(json.dumps(demo, indent=1, ensure_ascii=False) + "\n")


def _write_training(recipe: Recipe, path: Path) -> None:
    """What drawing does not need, but training further does (see `adopt`): image encoder, sketcher, namer, hints."""
    seeing, drawing = weights(recipe.folder, "together"), weights(recipe.folder, "decoder")
    parts = {name: seeing[name] for name in ("encoder", "sketcher", "namer")}
    parts |= {"drawing_hints": drawing["hints"], "reading_hints": weights(recipe.folder, "prior")["hints"]}
    tensors = {f"{name}.{key}": tensor for name, state in parts.items() for key, tensor in state.items()}
    halves = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    save_file({key: tensor.contiguous() for key, tensor in halves.items()}, path)


def _write(
    folder: Path, pipeline: str, parts: dict[str, Any], tokenizer: CLIPTokenizer, numbers: dict[str, float]
) -> None:
    index: dict[str, Any] = {"_class_name": pipeline, **numbers}
    for name, part in parts.items():
        # a smaller checkpoint's single file, or a larger one's index, would be read in place of what is written now
        for stale in (*(folder / name).glob("*.safetensors"), *(folder / name).glob("*.index.json")):
            stale.unlink()
        part.half().save_pretrained(folder / name, max_shard_size="9MB")
        index[name] = [LIBRARY.get(name, "transformers"), type(part).__name__]
    tokenizer.save_pretrained(folder / "tokenizer")
    # vocab.json and merges.txt, as older libraries and other programs read a CLIP tokenizer
    tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    scheduler: Any = DDPMWuerstchenScheduler()  # type: ignore[no-untyped-call]
    scheduler.save_pretrained(folder / "scheduler")
    index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    index["scheduler"] = [LIBRARY["scheduler"], "DDPMWuerstchenScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _examples(recipe: Recipe) -> list[str]:
    """Prompts that show what it can do, of things this run knows."""
    known = {thing.name for thing in recipe.known}
    return [prompt for names, prompt in WISHES if known.issuperset(names)]


def known_words(recipe: Recipe) -> list[str]:
    """All names of the things this run learns, then every other word of its captions, lower case, each once."""
    rng = Random(0)
    names = [name for thing in recipe.known for name in thing.names]
    captions = (caption(sample(rng, recipe.known), rng) for _ in range(5000))
    texts = (*captions, *(plural(name) for name in names))  # so many things are not all counted in 5,000 captions
    words = {word for text in texts for word in re.findall(r"[a-z0-9'-]+", text.lower())}
    return list(dict.fromkeys([*names, *sorted(words)]))


def _card(recipe: Recipe) -> str:
    """The decoder's README: front matter as the Hub's has it, and what the run knows."""
    things = "\n".join(f"- {thing.name}" + "".join(f", {n}" for n in thing.names[1:]) for thing in recipe.known)
    kept = sum(held_back(thing, place) for thing in recipe.known for place in (*PLACES, *COLOURS))
    away = f"Of the {len(recipe.known) * (len(PLACES) + len(COLOURS))} pairs of a thing and a place, {kept}"
    pairs = [pair_held_back(*pair) for pair in combinations(recipe.known, 2)]
    styles = [style_held_back(thing, style) for thing in recipe.known for style in STYLES]
    away += (
        f", of the {len(pairs)} pairs of things {sum(pairs)}, of the {len(styles)} of a thing and a style {sum(styles)}"
    )
    return f"""---
license: mit
prior:
  - wuerstchen-prior
---

# Cocktail: decoder and VQGAN

A small Würstchen, trained from scratch by `python -m wuerst_demo train` on pictures drawn from glyphs of Noto Color
Emoji (SIL OFL 1.1). Its prior is in `../wuerstchen-prior`; how it was trained and what it cannot do is in
[`../README.md`](../README.md).

## What it knows

Things, {len(recipe.known)} of them, each with its other names:

{things}

Places: {", ".join(PLACES)}; or a plain background in one of the colours {", ".join(COLOURS)}.
Times and weather: {", ".join(TIMES)}.
Styles: {", ".join(STYLES)}.
One thing, small or big; two things beside or above each other; two or three alike.

In any colour of the list: {", ".join(thing.name for thing in recipe.known if thing.name in PAINTABLE)}.

{away} were held back from training.
"""
