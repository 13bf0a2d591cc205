"""The stages of the recipe, in the order in which they build on each other. Each trains, goes on after an interruption,
or returns at once where it is done.

    draw      scenes -> pictures
    vqgan     Stage A: pictures <-> latents at a quarter of the size
    encoder   pictures -> z, learned together with the beginning of Stage B
    decoder   Stage B: latents from noise, given z and the caption
    prior     Stage C: z from noise, given the caption
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, networks, sheets
from wuerst_demo.training.captions import caption
from wuerst_demo.training.fast import quicken
from wuerst_demo.training.held import Held, smaller
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

    @cached_property
    def _fillers(self) -> tuple[str, ...]:
        return tuple(english_words())

    @cached_property
    def _tokenizer(self) -> CLIPTokenizer:
        return self.tokenizer()

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
            self.store.derive("latents", lambda size: (4, size[1] // 4, size[0] // 4), self._encode(trained))
        return trained

    def _encode(self, vqgan: nn.Module) -> Callable[[Size, np.ndarray], Tensor]:
        @torch.no_grad()
        def encode(size: Size, picks: np.ndarray) -> Tensor:
            with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
                latents: Tensor = vqgan.encode(self.data.pictures(size, picks)).latents  # type: ignore[operator]
            return latents.float().cpu()

        return encode

    def encoder(self, vqgan: nn.Module) -> None:
        """The image encoder, and the beginning of Stage B. They learn together: the encoder learns from the decoder's
        loss what the decoder wants to know.

        It has to please a throwaway decoder, too: that shows it the way while Stage B knows nothing yet, keeps
        neighbouring z alike in meaning, and the prior's sample sheets need it.
        """
        torch.manual_seed(1)
        dial = self.recipe.dial
        encoder, sketcher = self._here(networks.ImageEncoder(dial)), self._here(networks.Sketcher(dial))
        drawing = self._drawing()

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            pictures = self.data.pictures(size, picks)
            z = encoder(smaller(pictures, networks.SHRINK))
            sketched = _sketch_loss(sketcher, z, pictures)
            return self._drawing_loss(drawing, step, size, picks, z, min(1.0, stage.done / 0.5)) + sketched

        stage = Stage(
            "encoder",
            {**drawing, "encoder": encoder, "sketcher": sketcher},
            loss,
            self.recipe.encoder_steps,
            self.recipe.rate,
            lambda step: self._decoder_sheet(
                f"encoder-{step:06}.png", self._look(stage.modules["encoder"]), stage.modules, vqgan
            ),
            slow=_slow(drawing["decoder"]),
            last_rate=0.3,
        )
        stage.limit = self.recipe.limit("encoder")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)
        if not self.store.has("z"):
            channels = networks.LATENT_CHANNELS
            self.store.derive(
                "z", lambda size: (channels, size[1] * 3 // 128, size[0] * 3 // 128), self._look(trained["encoder"])
            )

    def _look(self, encoder: nn.Module) -> Callable[[Size, np.ndarray], Tensor]:
        @torch.no_grad()
        def look(size: Size, picks: np.ndarray) -> Tensor:
            z: Tensor = encoder(smaller(self.data.pictures(size, picks), networks.SHRINK))
            return z.float().cpu()

        return look

    def decoder(self, vqgan: nn.Module) -> None:
        """Stage B goes on from where `encoder` left it. The image encoder stands still from there on, so that the prior
        can be trained at the same time. Raises SetupError where `encoder` has not been trained."""
        drawing = self._drawing()
        for name, module in averaged(self.recipe.folder, "encoder", self._drawing()).items():
            drawing[name].load_state_dict(module.state_dict())

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            return self._drawing_loss(drawing, step, size, picks, self.data.floats("z", size, picks), 1.0)

        stage = Stage(
            "decoder",
            drawing,
            loss,
            self.recipe.decoder_steps,
            self.recipe.rate,
            lambda step: self._decoder_sheet(
                f"decoder-{step:06}.png", partial(self.data.floats, "z"), stage.modules, vqgan
            ),
            max(200, self.recipe.decoder_steps // 8),
            _slow(drawing["decoder"]),
        )
        stage.limit = self.recipe.limit("decoder")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def _drawing(self) -> dict[str, nn.Module]:
        """Stage B, untrained: {"decoder", "text", "hints"}."""
        torch.manual_seed(2)
        dial = self.recipe.dial
        decoder = self._here(networks.decoder(dial))
        _prepare(decoder, decoder.clf)
        text = self._here(networks.decoder_text(dial, self._tokenizer))
        return {
            "decoder": decoder,
            "text": text,
            "hints": self._here(networks.Hints(32 * dial, len(self.recipe.labels))),
        }

    def _drawing_loss(
        self, drawing: dict[str, nn.Module], step: int, size: Size, picks: np.ndarray, z: Tensor, warm: float
    ) -> Tensor:
        """Stage B's loss, given z of the scenes in `picks`. `warm` grows from 0 to 1 while the network finds out that
        at t = 1 all is noise: until then its errors there would drown everything else."""
        rng = Random(step)
        scenes = [self.store.scene(size, int(k)) for k in picks]
        captions = [caption(scene, rng, self._fillers) for scene in scenes]
        # as unsure as a small prior's: the layout is to be taken from z, the thing itself from the caption
        z = z + torch.randn_like(z) * 0.5 * torch.rand(len(z), 1, 1, 1, device=self.device)
        # for guidance: no caption and, as the sampler has it, no image either
        kept = [rng.random() >= 0.05 for _ in captions]
        captions = [text if here else "" for text, here in zip(captions, kept, strict=True)]
        images = networks.seen_by_decoder(z) * torch.tensor(kept, device=self.device).view(-1, 1, 1, 1)
        clean = self.data.floats("latents", size, picks)
        t = diffusion.sample_high_times(len(picks), torch.default_generator).to(self.device)
        noise = torch.randn_like(clean)
        given = networks.encode_text(drawing["text"], self._tokenizer, captions)
        noisy = diffusion.noised(clean, noise, t).contiguous(memory_format=torch.channels_last)
        predicted = drawing["decoder"](noisy, t, images, given)
        named: Tensor = drawing["hints"](given, self._named(scenes, captions))
        return diffusion.noise_loss(predicted, noise, t, cap=10 + 3990 * warm) + 0.05 * named

    def _decoder_sheet(
        self, name: str, look: Callable[[Size, np.ndarray], Tensor], modules: Mapping[str, nn.Module], vqgan: nn.Module
    ) -> None:
        sheets.decoder_sheet(self.recipe.folder / name, self.data, look, modules, self._tokenizer, vqgan)

    def prior(self) -> None:
        """Stage C. It can begin once `encoder` is done: the z it learns are fixed by then.

        Raises SetupError before that.
        """
        sketcher = networks.Sketcher(self.recipe.dial)
        self._here(averaged(self.recipe.folder, "encoder", {"sketcher": sketcher})["sketcher"])
        torch.manual_seed(3)
        width = networks.TEXT_WIDTH * self.recipe.dial
        prior = self._here(networks.prior(self.recipe.dial))
        text = self._here(networks.prior_text(self.recipe.dial, self._tokenizer))
        hints = self._here(networks.Hints(width, len(self.recipe.labels)))
        _prepare(prior, prior.out)
        steps = self.recipe.prior_steps

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.prior_batch)
            rng = Random(step)
            scenes = [self.store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, self._fillers) if rng.random() > 0.1 else "" for scene in scenes]
            clean = self.data.floats("z", size, picks)
            t = diffusion.sample_times(len(picks), torch.default_generator).to(self.device)
            noise = torch.randn_like(clean)
            given = networks.encode_text(text, self._tokenizer, captions)
            predicted = prior(diffusion.noised(clean, noise, t), t, given)
            named: Tensor = hints(given, self._named(scenes, captions))
            return diffusion.noise_loss(predicted, noise, t, cap=1000) + 0.05 * named

        def sheet(step: int) -> None:
            path = self.recipe.folder / f"prior-{step:06}.png"
            sheets.prior_sheet(path, self.recipe.known, stage.modules, self._tokenizer, sketcher)

        modules: dict[str, nn.Module] = {"prior": prior, "text": text, "hints": hints}
        stage = Stage("prior", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8))
        stage.limit = self.recipe.limit("prior")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def _named(self, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        """(B, labels): what each caption names; nothing where the caption was dropped."""
        named = [
            [share * bool(words) for share in self.recipe.about(scene)]
            for scene, words in zip(scenes, captions, strict=True)
        ]
        return torch.tensor(named, device=self.device)


def _prepare(network: nn.Module, head: nn.Module) -> None:
    """Makes a diffusion network quick and exact to train: the head's a and b leave half precision, since an error of
    0.4 % in b at t = 1 is 40 % of the clean picture."""
    quicken(network)
    head.register_forward_hook(lambda module, given, out: out.float())
    for module in network.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())


def _slow(decoder: nn.Module) -> list[nn.Parameter]:
    """The parameters that read z, which comes in with a deviation of 42."""
    mappers: Any = decoder.effnet_mappers
    return [mapper.weight for mapper in mappers]


def _sketch_loss(sketcher: nn.Module, z: Tensor, pictures: Tensor) -> Tensor:
    """How far the throwaway decoder is from the pictures. Noise on z makes neighbouring z mean alike pictures, which
    is what the prior's small errors need."""
    z = z + torch.randn_like(z) * 0.25 * torch.rand(len(z), 1, 1, 1, device=z.device)
    error = sketcher(z, pictures.shape[2], pictures.shape[3]).float() - smaller(pictures, 0.25)
    total: Tensor = error.pow(2).mean() * 4 + error.abs().mean()
    return total
