"""The stages of the recipe, in the order in which they build on each other. Each trains, goes on after an interruption,
or returns at once where it is done.

    draw      scenes -> pictures
    vqgan     Stage A: pictures <-> latents at a quarter of the size
    encoder   pictures -> z, warmed up through a throwaway decoder, then fixed
    decoder   Stage B: latents from noise, given z and the caption
    prior     Stage C: z from noise, given the caption

Decoder and prior need each other's results in nothing: they can be trained side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, networks
from wuerst_demo.training.fast import quicken
from wuerst_demo.training.loop import Stage, run
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Scene, caption
from wuerst_demo.training.store import Size
from wuerst_demo.training.tokenizer import english_words, train_tokenizer

Module = TypeVar("Module", bound=nn.Module)
LATENT_MEAN, LATENT_STD = 42.0, 1.0
"""The decoder sees 42 z - 1, as the published checkpoints have it."""


class Training:
    """One run of a recipe on one device. `half` is the autocast type, None for float32."""

    def __init__(self, recipe: Recipe, device: torch.device, half: torch.dtype | None) -> None:
        self.recipe, self.device, self.half = recipe, device, half
        self.store = recipe.store
        recipe.folder.mkdir(parents=True, exist_ok=True)

    def _here(self, network: Module) -> Module:
        """The network on the device, laid out for the convolutions that its processor does best."""
        nn.Module.to(network, self.device)
        nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.recipe.folder / "tokenizer"
        if not folder.exists():
            train_tokenizer(self.recipe.vocabulary).save_pretrained(folder)
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
        return tokenizer

    def draw(self) -> None:
        self.store.draw()

    def vqgan(self) -> nn.Module:
        """Stage A. Half of each batch goes through the codebook, the other half gets a little noise instead, since the
        decoder's latents are neither quantised nor perfect."""
        torch.manual_seed(0)
        network = self._here(networks.vqgan(self.recipe.dial))
        nn.init.normal_(network.vquantizer.embedding.weight)

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.vqgan_batch * 2)
            rng = np.random.default_rng((1, step))
            left, top = rng.integers(size[0] - 128 + 1), rng.integers(size[1] - 128 + 1)
            crops = self.store.pictures(size, picks)[:, :, top : top + 128, left : left + 128].to(self.device)
            crops = crops.contiguous(memory_format=torch.channels_last)
            latents = network.encode(crops).latents
            half = len(crops) // 2
            quantised, codebook_loss, _ = network.vquantizer(latents[:half].float())
            shaken = latents[half:] + 0.05 * torch.randn_like(latents[half:])
            decoded = network.decode(torch.cat([quantised, shaken])).sample.float()
            error = decoded - crops
            total: Tensor = error.pow(2).mean() * 4 + error.abs().mean() + 0.1 * codebook_loss.float()
            return total

        stage = Stage("vqgan", {"vqgan": network}, loss, self.recipe.vqgan_steps, 2e-3)
        averaged = run(stage, self.recipe.folder, self.device, self.half)["vqgan"]
        if not self.store.has("latents"):
            self.store.derive("latents", lambda size: (4, size[1] // 4, size[0] // 4), self._encode(averaged))
        return averaged

    def _encode(self, vqgan: nn.Module) -> Callable[[Size, np.ndarray], Tensor]:
        @torch.no_grad()
        def encode(size: Size, picks: np.ndarray) -> Tensor:
            with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
                latents: Tensor = vqgan.encode(self.store.pictures(size, picks).to(self.device)).latents  # type: ignore[operator]
            return latents.float().cpu()

        return encode

    def encoder(self) -> tuple[nn.Module, nn.Module]:
        """The image encoder and its throwaway decoder. Noise on z makes neighbouring z mean alike pictures, which is
        what the prior's small errors need."""
        torch.manual_seed(1)
        encoder = self._here(networks.ImageEncoder(self.recipe.dial))
        sketcher = self._here(networks.Sketcher(self.recipe.dial))

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.encoder_batch)
            pictures = self.store.pictures(size, picks).to(self.device)
            z = encoder(_smaller(pictures, networks.SHRINK))
            z = z + torch.randn_like(z) * 0.25 * torch.rand(len(z), 1, 1, 1, device=self.device)
            error = sketcher(z, size[1], size[0]).float() - _smaller(pictures, 0.25)
            total: Tensor = error.pow(2).mean() * 4 + error.abs().mean()
            return total

        stage = Stage("encoder", {"encoder": encoder, "sketcher": sketcher}, loss, self.recipe.encoder_steps, 1e-3)
        averaged = run(stage, self.recipe.folder, self.device, self.half)
        if not self.store.has("z"):
            channels = networks.LATENT_CHANNELS
            self.store.derive(
                "z", lambda size: (channels, size[1] * 3 // 128, size[0] * 3 // 128), self._look(averaged["encoder"])
            )
        return averaged["encoder"], averaged["sketcher"]

    def _look(self, encoder: nn.Module) -> Callable[[Size, np.ndarray], Tensor]:
        @torch.no_grad()
        def look(size: Size, picks: np.ndarray) -> Tensor:
            z: Tensor = encoder(_smaller(self.store.pictures(size, picks).to(self.device), networks.SHRINK))
            return z.float().cpu()

        return look

    def decoder(self, vqgan: nn.Module) -> dict[str, nn.Module]:
        """Stage B: {"decoder", "text"}."""
        torch.manual_seed(2)
        tokenizer, words = self.tokenizer(), english_words()
        decoder = self._here(networks.decoder(self.recipe.dial))
        text = self._here(networks.text_encoder(32 * self.recipe.dial, 2, tokenizer))
        hints = self._here(networks.Hints(32 * self.recipe.dial, len(self.recipe.labels)))
        _prepare(decoder, decoder.clf)
        steps = self.recipe.decoder_steps

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            rng = Random(step)
            scenes = [self.store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, words) for scene in scenes]
            clean, z = self._stored("latents", size, picks), self._stored("z", size, picks)
            # as unsure as a small prior's: the layout is to be taken from z, the thing itself from the caption
            z = z + torch.randn_like(z) * 0.6 * torch.rand(len(z), 1, 1, 1, device=self.device)
            images = LATENT_MEAN * z - LATENT_STD
            for k in range(len(captions)):
                if rng.random() < 0.05:  # for guidance: no caption and, as the sampler has it, no image either
                    captions[k], images[k] = "", 0.0
            t = diffusion.sample_times(len(picks), torch.default_generator).to(self.device)
            noise = torch.randn_like(clean)
            given = encode_text(text, tokenizer, captions)
            noisy = diffusion.noised(clean, noise, t).contiguous(memory_format=torch.channels_last)
            predicted = decoder(noisy, t, images, given)
            named: Tensor = hints(given, self._named(scenes, captions))
            return diffusion.noise_loss(predicted, noise, t, cap=10 + 990 * min(1, step / (0.1 * steps))) + 0.05 * named

        def sheet(step: int) -> None:
            self._decoder_sheet(step, stage.modules["decoder"], stage.modules["text"], tokenizer, vqgan)

        modules: dict[str, nn.Module] = {"decoder": decoder, "text": text, "hints": hints}
        slow = [mapper.get_parameter("weight") for mapper in decoder.effnet_mappers if isinstance(mapper, nn.Conv2d)]
        stage = Stage("decoder", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8), slow)
        return run(stage, self.recipe.folder, self.device, self.half)

    def prior(self, sketcher: nn.Module) -> dict[str, nn.Module]:
        """Stage C: {"prior", "text"}."""
        torch.manual_seed(3)
        tokenizer, words = self.tokenizer(), english_words()
        prior = self._here(networks.prior(self.recipe.dial))
        text = self._here(networks.text_encoder(48 * self.recipe.dial, self.recipe.dial, tokenizer))
        hints = self._here(networks.Hints(48 * self.recipe.dial, len(self.recipe.labels)))
        _prepare(prior, prior.out)
        steps = self.recipe.prior_steps

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.prior_batch)
            rng = Random(step)
            scenes = [self.store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, words) if rng.random() > 0.1 else "" for scene in scenes]
            clean = self._stored("z", size, picks)
            t = diffusion.sample_times(len(picks), torch.default_generator).to(self.device)
            noise = torch.randn_like(clean)
            given = encode_text(text, tokenizer, captions)
            predicted = prior(diffusion.noised(clean, noise, t), t, given)
            named: Tensor = hints(given, self._named(scenes, captions))
            return diffusion.noise_loss(predicted, noise, t, cap=1000) + 0.05 * named

        def sheet(step: int) -> None:
            self._prior_sheet(step, stage.modules["prior"], stage.modules["text"], tokenizer, sketcher)

        modules: dict[str, nn.Module] = {"prior": prior, "text": text, "hints": hints}
        stage = Stage("prior", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8))
        return run(stage, self.recipe.folder, self.device, self.half)

    def _named(self, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        """(B, labels): what each caption names; nothing where the caption was dropped."""
        named = [
            [share * bool(words) for share in self.recipe.about(scene)]
            for scene, words in zip(scenes, captions, strict=True)
        ]
        return torch.tensor(named, device=self.device)

    def _stored(self, kind: str, size: Size, picks: np.ndarray) -> Tensor:
        return torch.from_numpy(self.store.array(kind, size)[picks]).float().to(self.device)

    @torch.no_grad()
    def _decoder_sheet(
        self, step: int, decoder: nn.Module, text: nn.Module, tokenizer: CLIPTokenizer, vqgan: nn.Module
    ) -> None:
        """Real encodings decoded: what the decoder can do before any prior, beside the pictures they came from."""
        size, picks = (256, 256), np.arange(8)
        captions = [caption(self.store.scene(size, int(k)), Random(int(k))) for k in picks]
        images = LATENT_MEAN * self._stored("z", size, picks) - LATENT_STD
        given = encode_text(text, tokenizer, captions)
        torch.manual_seed(step)
        noise = torch.randn(len(picks), 4, size[1] // 4, size[0] // 4, device=self.device)
        latents = diffusion.denoise(lambda x, t: decoder(x, t, images, given), noise, torch.linspace(1, 0, 13))
        decoded = vqgan.decode(latents).sample  # type: ignore[operator]
        save_sheet(self.recipe.folder / f"decoder-{step:06}.png", [self.store.pictures(size, picks), decoded])

    @torch.no_grad()
    def _prior_sheet(
        self, step: int, prior: nn.Module, text: nn.Module, tokenizer: CLIPTokenizer, sketcher: nn.Module
    ) -> None:
        """Prompts sketched by the throwaway decoder, with guidance 4."""
        prompts = [
            f"a {thing.name} {where}" for thing, where in zip(self.recipe.known, SHEET_PLACES * 9, strict=False)
        ][:16]
        given = encode_text(text, tokenizer, prompts + [""] * len(prompts))

        def predict(x: Tensor, t: Tensor) -> Tensor:
            conditional, unconditional = prior(torch.cat([x, x]), torch.cat([t, t]), given).chunk(2)
            return torch.lerp(unconditional, conditional, 4.0)

        torch.manual_seed(step)
        noise = torch.randn(len(prompts), networks.LATENT_CHANNELS, 6, 6, device=self.device)
        z = diffusion.denoise(predict, noise, torch.linspace(1, 0, 21))
        sketches = functional.interpolate(sketcher(z, 256, 256).float(), scale_factor=2)
        save_sheet(self.recipe.folder / f"prior-{step:06}.png", torch.split(sketches, 8))


SHEET_PLACES = ("on the grass", "at night", "on a blue background", "in the snow at sunset", "on the beach", "in space")


def encode_text(encoder: nn.Module, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """(B, 77, D): the last hidden state under the padding mask, as the sampler computes it."""
    device = next(encoder.parameters()).device
    tokens = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").to(device)
    hidden: Tensor = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return hidden


def save_sheet(path: Path, rows: Sequence[Tensor]) -> None:
    """Writes rows of pictures (B, 3, H, W) in 0..1 as one PNG."""
    sheet = torch.cat([torch.cat(list(row.float().cpu().clamp(0, 1)), -1) for row in rows], -2)
    Image.fromarray((sheet.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)


def _prepare(network: nn.Module, head: nn.Module) -> None:
    """Makes a diffusion network quick and exact to train: the head's a and b leave half precision, since an error of
    0.4 % in b at t = 1 is 40 % of the clean picture."""
    quicken(network)
    head.register_forward_hook(lambda module, given, out: out.float())
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def _smaller(pictures: Tensor, share: float) -> Tensor:
    return functional.interpolate(pictures, scale_factor=share, mode="bilinear", antialias=True)
