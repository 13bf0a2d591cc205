"""The stages of the recipe, in the order in which they build on each other. Each trains, goes on after an interruption,
or returns at once where it is done.

    draw      scenes -> pictures
    vqgan     Stage A: pictures <-> latents at a quarter of the size
    encoder   pictures -> z, warmed up through a throwaway decoder
    decoder   Stage B: latents from noise, given z and the caption; the image encoder goes on learning with it
    prior     Stage C: z from noise, given the caption
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, networks, sheets
from wuerst_demo.training.captions import caption
from wuerst_demo.training.held import Held, encoded, latents_shape, smaller, z_shape
from wuerst_demo.training.loop import Stage, averaged, run
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Scene
from wuerst_demo.training.store import Size
from wuerst_demo.training.tokenizer import english_words, train_tokenizer

Module = TypeVar("Module", bound=nn.Module)
Train = Callable[[Stage, Path, torch.device, torch.dtype | None], dict[str, nn.Module]]


class Training:
    """One run of a recipe on one device. `half` is the autocast type, None for float32. `train` takes a stage to its
    end, as `loop.run` does."""

    def __init__(self, recipe: Recipe, device: torch.device, half: torch.dtype | None, train: Train = run) -> None:
        self.recipe, self.device, self.half, self.train = recipe, device, half, train
        self.store = recipe.store
        self.data = Held(self.store, device)
        recipe.folder.mkdir(parents=True, exist_ok=True)

    def _here(self, network: Module) -> Module:
        """The network on the device, laid out for the convolutions that its processor does best."""
        nn.Module.to(network, self.device)
        nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.recipe.folder / "tokenizer"
        if not folder.exists():
            train_tokenizer(self.recipe.vocabulary, self.recipe.captions).save_pretrained(folder)
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
            left, top = int(rng.integers(size[0] - 128 + 1)), int(rng.integers(size[1] - 128 + 1))
            crops = self.data.pictures(size, picks, top, left, 128)
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
        stage.limit = self.recipe.limit("vqgan")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)["vqgan"]
        if not self.store.has("latents"):
            self.store.derive("latents", latents_shape, encoded(trained, self.data, self.half))
        return trained

    def encoder(self) -> tuple[nn.Module, nn.Module]:
        """The image encoder, as far as its throwaway decoder can teach it, and that."""
        encoder, sketcher = self._encoder()

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.encoder_batch)
            pictures = self.data.pictures(size, picks)
            return _sketch_loss(sketcher, encoder(smaller(pictures, networks.SHRINK)), pictures)

        stage = Stage("encoder", {"encoder": encoder, "sketcher": sketcher}, loss, self.recipe.encoder_steps, 1e-3)
        stage.limit = self.recipe.limit("encoder")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)
        return trained["encoder"], trained["sketcher"]

    def _encoder(self) -> tuple[networks.ImageEncoder, networks.Sketcher]:
        torch.manual_seed(1)
        dial = self.recipe.dial
        return self._here(networks.ImageEncoder(dial)), self._here(networks.Sketcher(dial))

    def _look(self, encoder: nn.Module) -> Callable[[Size, np.ndarray], Tensor]:
        @torch.no_grad()
        def look(size: Size, picks: np.ndarray) -> Tensor:
            z: Tensor = encoder(smaller(self.data.pictures(size, picks), networks.SHRINK))
            return z.float().cpu()

        return look

    def decoder(self, vqgan: nn.Module, warm: tuple[nn.Module, nn.Module]) -> dict[str, nn.Module]:
        """Stage B: {"decoder", "text", "encoder", "sketcher"} from the VQGAN and `encoder`'s results.

        The image encoder learns from the decoder's loss what the decoder wants to know. It keeps pleasing its throwaway
        decoder, too: that keeps neighbouring z alike in meaning, and the prior's sample sheets need it.
        """
        encoder, sketcher = self._encoder()
        encoder.load_state_dict(warm[0].state_dict())
        sketcher.load_state_dict(warm[1].state_dict())
        torch.manual_seed(2)
        tokenizer, words = self.tokenizer(), english_words()
        decoder = self._here(networks.decoder(self.recipe.dial))
        text = self._here(networks.text_encoder(32 * self.recipe.dial, 2, tokenizer))
        hints = self._here(networks.Hints(32 * self.recipe.dial, len(self.recipe.labels)))
        networks.prepare(decoder, decoder.clf)
        steps = self.recipe.decoder_steps

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            rng = Random(step)
            scenes = [self.store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, words) for scene in scenes]
            clean, pictures = self.data.floats("latents", size, picks), self.data.pictures(size, picks)
            z = encoder(smaller(pictures, networks.SHRINK))
            sketched = _sketch_loss(sketcher, z, pictures)
            # as unsure as a small prior's: the layout is to be taken from z, the thing itself from the caption
            z = z + torch.randn_like(z) * 0.6 * torch.rand(len(z), 1, 1, 1, device=self.device)
            images = networks.seen_by_decoder(z)
            # for guidance: no caption and, as the sampler has it, no image either
            kept = [rng.random() >= 0.05 for _ in captions]
            captions = [text if here else "" for text, here in zip(captions, kept, strict=True)]
            images = images * torch.tensor(kept, device=self.device).view(-1, 1, 1, 1)
            t = diffusion.sample_times(len(picks), torch.default_generator).to(self.device)
            given = networks.encode_text(text, tokenizer, captions)
            noisy = diffusion.noised(clean, torch.randn_like(clean), t).contiguous(memory_format=torch.channels_last)
            a, b = decoder(noisy, t, images, given, return_noise=False)
            named: Tensor = hints(given, self._named(scenes, captions))
            return diffusion.parts_loss(a, b, clean, t) + 0.05 * named + 0.2 * sketched

        def sheet(step: int) -> None:
            size: Size = (256, 256)
            picks = np.arange(min(8, self.store.counts[size]))
            captions = [caption(self.store.scene(size, int(k)), Random(int(k))) for k in picks]
            z = self._look(stage.modules["encoder"])(size, picks).to(self.device)
            path = self.recipe.folder / f"decoder-{step:06}.png"
            pictures = self.data.pictures(size, picks)
            sheets.decoder_sheet(path, pictures, z, captions, stage.modules, tokenizer, vqgan)

        modules: dict[str, nn.Module] = {
            "decoder": decoder,
            "text": text,
            "hints": hints,
            "encoder": encoder,
            "sketcher": sketcher,
        }
        slow = [mapper.get_parameter("weight") for mapper in decoder.effnet_mappers if isinstance(mapper, nn.Conv2d)]
        stage = Stage("decoder", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8), slow)
        stage.limit = self.recipe.limit("decoder")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)
        if not self.store.has("z"):
            self.store.derive("z", z_shape, self._look(trained["encoder"]))
        return trained

    def prior(self) -> dict[str, nn.Module]:
        """Stage C: {"prior", "text"}. It can begin once `decoder` is done: the z it learns are fixed by then.

        Raises SetupError before that.
        """
        sketcher = networks.Sketcher(self.recipe.dial)
        self._here(averaged(self.recipe.folder, "decoder", {"sketcher": sketcher})["sketcher"])
        torch.manual_seed(3)
        tokenizer, words = self.tokenizer(), english_words()
        prior = self._here(networks.prior(self.recipe.dial))
        text = self._here(networks.text_encoder(48 * self.recipe.dial, self.recipe.dial, tokenizer))
        hints = self._here(networks.Hints(48 * self.recipe.dial, len(self.recipe.labels)))
        networks.prepare(prior, prior.out)
        steps = self.recipe.prior_steps

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.prior_batch)
            rng = Random(step)
            scenes = [self.store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, words) if rng.random() > 0.1 else "" for scene in scenes]
            clean = self.data.floats("z", size, picks)
            t = diffusion.sample_times(len(picks), torch.default_generator).to(self.device)
            given = networks.encode_text(text, tokenizer, captions)
            a, b = networks.prior_parts(prior, diffusion.noised(clean, torch.randn_like(clean), t), t, given)
            named: Tensor = hints(given, self._named(scenes, captions))
            return diffusion.parts_loss(a, b, clean, t) + 0.05 * named

        def sheet(step: int) -> None:
            path = self.recipe.folder / f"prior-{step:06}.png"
            sheets.prior_sheet(path, self.recipe.known, stage.modules, tokenizer, sketcher)

        modules: dict[str, nn.Module] = {"prior": prior, "text": text, "hints": hints}
        stage = Stage("prior", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8))
        stage.limit = self.recipe.limit("prior")
        return self.train(stage, self.recipe.folder, self.device, self.half)

    def _named(self, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        """(B, labels): what each caption names; nothing where the caption was dropped."""
        named = [
            [share * bool(words) for share in self.recipe.about(scene)]
            for scene, words in zip(scenes, captions, strict=True)
        ]
        return torch.tensor(named, device=self.device)


def _sketch_loss(sketcher: nn.Module, z: Tensor, pictures: Tensor) -> Tensor:
    """How far the throwaway decoder is from the pictures. Noise on z makes neighbouring z mean alike pictures, which
    is what the prior's small errors need."""
    z = z + torch.randn_like(z) * 0.25 * torch.rand(len(z), 1, 1, 1, device=z.device)
    error = sketcher(z, pictures.shape[2], pictures.shape[3]).float() - smaller(pictures, 0.25)
    total: Tensor = error.pow(2).mean() * 4 + error.abs().mean()
    return total
