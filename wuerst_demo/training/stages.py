"""The stages of the recipe, in the order in which they build on each other. Each trains, goes on after an interruption,
or returns at once where it is done.

    draw      scenes -> pictures
    vqgan     Stage A: pictures <-> latents at a quarter of the size
    encoder   pictures -> z, warmed up by naming and by sketching what pictures show
    together  image encoder and Stage B: the one learns what the other wants to know
    decoder   Stage B: latents from noise, given z and the caption; z is fixed from here on
    words     captions -> what they say: the prior's text encoder, before there is a prior
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
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, networks, sheets
from wuerst_demo.training.captions import caption
from wuerst_demo.training.held import Held, encoded, latents_shape, smaller, z_shape
from wuerst_demo.training.loop import Stage, averaged, finished, run, taken_up
from wuerst_demo.training.recipe import Recipe
from wuerst_demo.training.scenes import Kind, Scene, sample, standing
from wuerst_demo.training.store import Size
from wuerst_demo.training.things import Thing
from wuerst_demo.training.tokenizer import LENGTH, english_words, train_tokenizer

REMEMBERING, REFINING = 0.6, 0.25
"""Shares of Stage B's training that are about its first steps: at first, and for its last quarter. There it has to
recall what things look like; later in sampling the picture itself tells most of it."""
REMEMBERED = 0.75
"""Share of Stage B's training after which it refines."""
COMPOSING = 0.4
"""Share of Stage C's training that is about its first steps, where it is decided what stands where."""
EDGE = 6
"""Pixels along the edges of a picture that count more while the VQGAN learns."""
SHORT = 40
"""Tokens of a caption in most of training: few captions of ours are longer, and padding costs as much as words do."""
WHOLE = 0.8
"""Share of a stage from which on captions are as long as the sampler gives them."""
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
        self.recipe.keep()
        self.store.draw()
        self.recipe.prior_store.draw()

    def vqgan(self) -> nn.Module:
        """Stage A. Half of each batch goes through the codebook, the other half gets a little noise instead, since the
        decoder's latents are neither quantised nor perfect."""
        torch.manual_seed(0)
        network = self._here(networks.vqgan(self.recipe.dial))
        nn.init.normal_(network.vquantizer.embedding.weight)
        edged = _edged(128).to(self.device)

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
            total: Tensor = (edged * (error.pow(2) * 4 + error.abs())).mean() + 0.1 * codebook_loss.float()
            return total

        stage = Stage("vqgan", {"vqgan": network}, loss, self.recipe.vqgan_steps, 2e-3)
        stage.limit = self.recipe.limit("vqgan")
        if not finished(self.recipe.folder, "vqgan", stage.steps):
            self.store.forget("latents")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)["vqgan"]
        if not self.store.has("latents"):
            self.store.derive("latents", latents_shape, encoded(trained, self.data, self.half))
        return trained

    def encoder(self) -> None:
        """The image encoder, as far as naming and sketching pictures can teach it."""
        seeing = self._seeing()

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            pictures = self.data.pictures(size, picks)
            z = seeing["encoder"](smaller(pictures, networks.SHRINK))
            return self._seeing_loss(seeing, z, size, picks, pictures)

        stage = Stage("encoder", seeing, loss, self.recipe.encoder_steps, 1.5e-3, last_rate=0.4)
        stage.limit = self.recipe.limit("encoder")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def together(self, vqgan: nn.Module) -> None:
        """Image encoder and Stage B. The encoder goes on pleasing its throwaway decoder, too: that keeps neighbouring z
        alike in meaning, and the prior's sample sheets need it. Afterwards z of all pictures are written down.

        Raises SetupError where `encoder` has not been trained.
        """
        seeing, drawing = taken_up(self.recipe.folder, "encoder", self._seeing()), self._drawing()

        def loss(step: int) -> Tensor:
            size, picks = self.store.pick(step, self.recipe.decoder_batch)
            pictures = self.data.pictures(size, picks)
            z = seeing["encoder"](smaller(pictures, networks.SHRINK))
            seen = self._seeing_loss(seeing, z, size, picks, pictures)
            return self._drawing_loss(drawing, step, size, picks, z, REMEMBERING, SHORT) + seen

        def sheet(step: int) -> None:
            look = _look(stage.modules["encoder"], self.data)
            self._decoder_sheet(f"together-{step:06}.png", look, stage.modules, vqgan)

        steps = self.recipe.together_steps
        stage = Stage("together", {**seeing, **drawing}, loss, steps, 1e-3, sheet, last_rate=0.3)
        stage.slow, stage.limit = _slow(drawing["decoder"]), self.recipe.limit("together")
        stores = (self.store, self.recipe.prior_store)
        if not finished(self.recipe.folder, "together", steps):
            for store in stores:
                store.forget("z")
        trained = self.train(stage, self.recipe.folder, self.device, self.half)
        for store in stores:
            if not store.has("z"):
                held = self.data if store is self.store else Held(store, self.device)  # a GPU holds its pictures once
                store.derive("z", z_shape, _look(trained["encoder"], held))

    def _seeing(self) -> dict[str, nn.Module]:
        """What teaches the image encoder, untrained: {"encoder", "sketcher", "namer"}."""
        torch.manual_seed(1)
        dial, things = self.recipe.dial, self.recipe.things
        return {
            "encoder": self._here(networks.ImageEncoder(dial)),
            "sketcher": self._here(networks.Sketcher(dial)),
            "namer": self._here(networks.Namer(things, len(self.recipe.labels) - things)),
        }

    def _seeing_loss(
        self, seeing: Mapping[str, nn.Module], z: Tensor, size: Size, picks: np.ndarray, pictures: Tensor
    ) -> Tensor:
        """How badly z tells what pictures look like and what they show, under noise as of a small prior."""
        scenes = [self.store.scene(size, int(k)) for k in picks]
        cells, whole = seeing["namer"](diffusion.shaken(z, 0.4))
        where = self._where(scenes, size, (z.shape[2], z.shape[3])).to(self.device)
        weight = torch.ones(1 + self.recipe.things, device=self.device)
        weight[0] = 0.2  # most of many pictures is "nothing"
        others = torch.tensor([self.recipe.about(scene)[self.recipe.things :] for scene in scenes], device=self.device)
        named = functional.cross_entropy(cells.float(), where, weight)
        missed = functional.binary_cross_entropy_with_logits(whole.float(), others, reduction="none").sum(1).mean()
        return _sketch_loss(seeing["sketcher"], z, pictures) + 0.15 * named + 0.03 * missed

    def _where(self, scenes: Sequence[Scene], size: Size, shape: tuple[int, int]) -> Tensor:
        """(B, H, W): the number of the thing at each position of z, 0 where there is none."""
        numbers: dict[Thing | None, int] = {None: 0, **{thing: k + 1 for k, thing in enumerate(self.recipe.known)}}
        rows, columns = shape
        cells = [[[numbers[c] for c in row] for row in standing(scene, size, columns, rows)] for scene in scenes]
        return torch.tensor(cells)

    def decoder(self, vqgan: nn.Module) -> None:
        """Stage B goes on from where `together` left it. The image encoder stands still from there on, so that the
        prior can be trained at the same time. Raises SetupError where `together` has not been trained."""
        drawing = taken_up(self.recipe.folder, "together", self._drawing())

        def loss(step: int) -> Tensor:
            draw = self.recipe.draw_of(step)
            size, picks = self.store.pick(draw, self.recipe.decoder_batch)
            z = self.data.floats("z", size, picks)
            early = REMEMBERING if stage.done < REMEMBERED else REFINING
            return self._drawing_loss(drawing, draw, size, picks, z, early, _length(stage))

        def sheet(step: int) -> None:
            self._decoder_sheet(f"decoder-{step:06}.png", partial(self.data.floats, "z"), stage.modules, vqgan)

        steps = self.recipe.decoder_steps
        stage = Stage("decoder", drawing, loss, steps, self.recipe.decoder_rate, sheet, max(200, steps // 8))
        stage.slow, stage.limit = _slow(drawing["decoder"]), self.recipe.limit("decoder")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def _drawing(self) -> dict[str, nn.Module]:
        """Stage B, untrained: {"decoder", "text", "hints"}."""
        torch.manual_seed(2)
        dial = self.recipe.dial
        decoder = self._here(networks.decoder(dial))
        networks.prepare(decoder, decoder.clf)
        return {
            "decoder": decoder,
            "text": self._here(networks.decoder_text(dial, self._tokenizer)),
            "hints": self._here(networks.Hints(32 * dial, len(self.recipe.labels))),
        }

    def _drawing_loss(
        self,
        drawing: Mapping[str, nn.Module],
        draw: int,
        size: Size,
        picks: np.ndarray,
        z: Tensor,
        early: float,
        length: int,
    ) -> Tensor:
        """Stage B's loss, given z of the scenes in `picks` and captions of so many tokens, drawn by the number `draw`;
        the share `early` of it is about the sampler's first steps."""
        rng = Random(draw)
        scenes = [self.store.scene(size, int(k)) for k in picks]
        captions = [caption(scene, rng, self._fillers) for scene in scenes]
        # for guidance: no caption and, as the sampler has it, no image either
        kept = [rng.random() >= 0.1 for _ in captions]
        captions = [text if here else "" for text, here in zip(captions, kept, strict=True)]
        seen = torch.tensor(kept, device=self.device).view(-1, 1, 1, 1)
        # z is as unsure as a small prior's
        images = networks.seen_by_decoder(diffusion.shaken(z, 0.3)) * seen
        clean = self.data.floats("latents", size, picks)
        t = diffusion.sample_times(len(picks), torch.default_generator, early).to(self.device)
        noisy = diffusion.noised(clean, torch.randn_like(clean), t).contiguous(memory_format=torch.channels_last)
        given = networks.encode_text(drawing["text"], self._tokenizer, captions, length)
        a, b = drawing["decoder"](noisy, t, images, given, return_noise=False)
        named: Tensor = drawing["hints"](given, self._named(scenes, captions))
        return diffusion.parts_loss(a, b, clean, t) + 0.05 * named

    def _decoder_sheet(
        self, name: str, look: Callable[[Size, np.ndarray], Tensor], modules: Mapping[str, nn.Module], vqgan: nn.Module
    ) -> None:
        size: Size = (256, 256)
        picks = np.arange(min(8, self.store.counts[size]))
        captions = [caption(self.store.scene(size, int(k)), Random(int(k))) for k in picks]
        pictures, z = self.data.pictures(size, picks), look(size, picks).to(self.device)
        sheets.decoder_sheet(self.recipe.folder / name, pictures, z, captions, modules, self._tokenizer, vqgan)

    def words(self) -> None:
        """The prior's text encoder, by captions alone. They are made as they are needed, and cost so little that within
        minutes it learns which of two things stands where; thousands of the prior's steps had not taught it that."""
        reading = self._reading()

        def loss(step: int) -> Tensor:
            rng = Random(f"words-{step}")
            kinds: list[Kind | None] = [rng.choice((None, "pair")) for _ in range(self.recipe.words_batch)]
            scenes = [sample(rng, self.recipe.known, kind=kind, settled=True) for kind in kinds]
            captions = [caption(scene, rng, self._fillers) for scene in scenes]
            given = networks.encode_text(reading["text"], self._tokenizer, captions, SHORT)
            total: Tensor = reading["hints"](given, self._told(scenes, captions))
            return total

        stage = Stage("words", reading, loss, self.recipe.words_steps, self.recipe.rate, last_rate=0.1)
        stage.limit = self.recipe.limit("words")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def _reading(self) -> dict[str, nn.Module]:
        """What reads captions for the prior, untrained: {"text", "hints"}."""
        torch.manual_seed(3)
        dial, told = self.recipe.dial, len(self.recipe.labels) + len(self.recipe.roles)
        return {
            "text": self._here(networks.prior_text(dial, self._tokenizer)),
            "hints": self._here(networks.Hints(networks.TEXT_WIDTH * dial, told)),
        }

    def prior(self) -> None:
        """Stage C. It can begin once `together` and `words` are done: the z it learns are fixed by then.

        Raises SetupError before that.
        """
        sketcher = networks.Sketcher(self.recipe.dial)
        self._here(averaged(self.recipe.folder, "together", {"sketcher": sketcher})["sketcher"])
        torch.manual_seed(3)
        dial, store = self.recipe.dial, self.recipe.prior_store
        data = Held(store, self.device)
        prior, reading = self._here(networks.prior(dial)), taken_up(self.recipe.folder, "words", self._reading())
        text, hints = reading["text"], reading["hints"]
        networks.prepare(prior, prior.out)
        steps = self.recipe.prior_steps

        def loss(step: int) -> Tensor:
            draw = self.recipe.draw_of(step)
            size, picks = store.pick(draw, self.recipe.prior_batch)
            rng = Random(draw)
            scenes = [store.scene(size, int(k)) for k in picks]
            captions = [caption(scene, rng, self._fillers) if rng.random() > 0.1 else "" for scene in scenes]
            clean = data.floats("z", size, picks)
            t = diffusion.sample_times(len(picks), torch.default_generator, COMPOSING).to(self.device)
            given = networks.encode_text(text, self._tokenizer, captions, _length(stage))
            a, b = networks.prior_parts(prior, diffusion.noised(clean, torch.randn_like(clean), t), t, given)
            named: Tensor = hints(given, self._told(scenes, captions))
            return diffusion.parts_loss(a, b, clean, t) + 0.05 * named

        def sheet(step: int) -> None:
            path = self.recipe.folder / f"prior-{step:06}.png"
            sheets.prior_sheet(path, self.recipe.known, stage.modules, self._tokenizer, sketcher)

        modules: dict[str, nn.Module] = {"prior": prior, **reading}
        stage = Stage("prior", modules, loss, steps, self.recipe.rate, sheet, max(200, steps // 8))
        stage.limit = self.recipe.limit("prior")
        self.train(stage, self.recipe.folder, self.device, self.half)

    def _named(self, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        """(B, labels): what each caption names; nothing where the caption was dropped."""
        named = [self.recipe.about(scene) for scene in scenes]
        return torch.tensor(named, device=self.device) * _said(captions, self.device)

    def _told(self, scenes: Sequence[Scene], captions: Sequence[str]) -> Tensor:
        """(B, labels + roles): also what is where."""
        told = [[*self.recipe.about(scene), *self.recipe.arrangement(scene)] for scene in scenes]
        return torch.tensor(told, device=self.device) * _said(captions, self.device)


def _said(captions: Sequence[str], device: torch.device) -> Tensor:
    """(B, 1): 0 where the caption was dropped, else 1."""
    return torch.tensor([[float(bool(words))] for words in captions], device=device)


def _look(encoder: nn.Module, data: Held) -> Callable[[Size, np.ndarray], Tensor]:
    @torch.no_grad()
    def look(size: Size, picks: np.ndarray) -> Tensor:
        z: Tensor = encoder(smaller(data.pictures(size, picks), networks.SHRINK))
        return z.float().cpu()

    return look


def _edged(side: int) -> Tensor:
    """(1, 1, side, side): 3 along the edges and 1 inside, brought to a mean of 1. A transposed convolution gets half of
    its input at an edge; without more weight there it left dotted lines around every picture."""
    weight = torch.full((1, 1, side, side), 3.0)
    weight[..., EDGE:-EDGE, EDGE:-EDGE] = 1
    return weight / weight.mean()


def _slow(decoder: nn.Module) -> list[nn.Parameter]:
    """The parameters that read z, which comes in with a deviation of 42."""
    mappers: Any = decoder.effnet_mappers
    return [mapper.get_parameter("weight") for mapper in mappers if isinstance(mapper, nn.Conv2d)]


def _length(stage: Stage) -> int:
    return SHORT if stage.done < WHOLE else LENGTH


def _sketch_loss(sketcher: nn.Module, z: Tensor, pictures: Tensor) -> Tensor:
    """How far the throwaway decoder is from the pictures."""
    sketch = sketcher(diffusion.shaken(z, 0.25), pictures.shape[2], pictures.shape[3])
    error = sketch.float() - smaller(pictures, 0.25)
    total: Tensor = error.pow(2).mean() * 4 + error.abs().mean()
    return total
