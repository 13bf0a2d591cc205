"""`python -m wuerst_demo train polish`: Stage B goes on from an exported checkpoint, with the latents that the prior
really makes of captions in place of an image encoder's.

It needs nothing but the checkpoint, and mends what training on real encodings leaves: the decoder learns to forgive
this prior's mistakes. Its scenes are settled, as the prior's own are: a caption tells where each thing stands, so that
the prior has put it where the picture has it. Does not change the prior or the VQGAN.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import numpy as np
import torch
from diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model import PaellaVQModel
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_diffnext import WuerstchenDiffNeXt
from diffusers.pipelines.deprecated.wuerstchen.modeling_wuerstchen_prior import WuerstchenPrior
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from wuerst_demo.training import diffusion, networks, sheets
from wuerst_demo.training.captions import caption
from wuerst_demo.training.held import Held, encoded, latents_shape, z_shape
from wuerst_demo.training.loop import Stage, run
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.store import Size

PRIOR_STEPS, PRIOR_GUIDANCE = 8, 4.0
EARLY = 0.4
"""The share of it that is about the sampler's first steps; see `diffusion.sample_times`."""


def polish(recipe: Recipe, checkpoint: Path, device: torch.device, half: torch.dtype | None) -> None:
    """Trains the decoder and its text encoder, and writes both back into `checkpoint`."""
    store, drawing, composing = recipe.polish_store, checkpoint / "wuerstchen", checkpoint / "wuerstchen-prior"
    store.draw()
    data = Held(store, device)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(drawing / "tokenizer")

    def read(kind: Any, folder: Path, **more: str) -> Any:
        return kind.from_pretrained(folder, **more).float().to(device)

    vqgan = read(PaellaVQModel, drawing / "vqgan").eval()
    if not store.has("latents"):
        store.derive("latents", latents_shape, encoded(vqgan, data, None))
    if not store.has("z"):
        prior, asked = read(WuerstchenPrior, composing / "prior"), read(CLIPTextModel, composing / "text_encoder")
        store.derive("z", z_shape, _composed(prior.eval(), asked.eval(), tokenizer, data))
    decoder = read(WuerstchenDiffNeXt, drawing / "decoder").to(memory_format=torch.channels_last)
    networks.prepare(decoder, decoder.clf)
    text = read(CLIPTextModel, drawing / "text_encoder", attn_implementation="eager")  # see networks.text_encoder
    modules: dict[str, nn.Module] = {"decoder": decoder, "text": text}

    def loss(step: int) -> Tensor:
        size, picks = store.pick(step, recipe.decoder_batch)
        captions = [_caption(data, size, int(k)) for k in picks]
        clean, z = data.floats("latents", size, picks), data.floats("z", size, picks)
        kept = torch.rand(len(picks)) >= 0.05
        images = networks.seen_by_decoder(diffusion.shaken(z, 0.3)) * kept.to(device).view(-1, 1, 1, 1)
        captions = [text if here else "" for text, here in zip(captions, kept.tolist(), strict=True)]
        t = diffusion.sample_times(len(picks), torch.default_generator, EARLY).to(device)
        noisy = diffusion.noised(clean, torch.randn_like(clean), t).contiguous(memory_format=torch.channels_last)
        given = networks.encode_text(modules["text"], tokenizer, captions)
        a, b = decoder(noisy, t, images, given, return_noise=False)
        return diffusion.parts_loss(a, b, clean, t)

    def sheet(step: int) -> None:
        size: Size = (256, 256)
        picks = np.arange(min(8, store.counts[size]))
        sheets.decoder_sheet(
            recipe.folder / f"polish-{step:06}.png",
            data.pictures(size, picks),
            data.floats("z", size, picks),
            [_caption(data, size, int(k)) for k in picks],
            stage.modules,
            tokenizer,
            vqgan,
        )

    every = max(200, recipe.polish_steps // 8)
    stage = Stage("polish", modules, loss, recipe.polish_steps, recipe.polish_rate, sheet, every)
    stage.limit = recipe.limit("polish")
    trained = run(stage, recipe.folder, device, half)
    for name, folder in (("decoder", "decoder"), ("text", "text_encoder")):
        config = drawing / folder / "config.json"
        unchanged = config.read_text()  # saving would add the folder that it was read from
        cast("Any", trained[name]).half().save_pretrained(drawing / folder, max_shard_size="9MB")
        config.write_text(unchanged)


def _caption(data: Held, size: Size, k: int) -> str:
    """The caption of scene k, always the same: its z was made of it."""
    return caption(data.store.scene(size, k), Random(f"polish-{k}"))


def _composed(
    prior: nn.Module, text: nn.Module, tokenizer: CLIPTokenizer, data: Held
) -> Callable[[Size, np.ndarray], Tensor]:
    @torch.no_grad()
    def compose(size: Size, picks: np.ndarray) -> Tensor:
        captions = [_caption(data, size, int(k)) for k in picks]
        given = networks.encode_text(text, tokenizer, [*captions, ""])
        given = torch.cat([given[:-1], given[-1:].expand(len(picks), -1, -1)])

        def predict(x: Tensor, t: Tensor) -> Tensor:
            conditional, unconditional = prior(torch.cat([x, x]), torch.cat([t, t]), given).chunk(2)
            return torch.lerp(unconditional, conditional, PRIOR_GUIDANCE)

        torch.manual_seed(int(picks[0]))
        noise = torch.randn(len(picks), *z_shape(size))
        z = diffusion.denoise(predict, noise.to(data.device), torch.linspace(1, 0, PRIOR_STEPS + 1))
        return z.float().cpu()

    return compose
