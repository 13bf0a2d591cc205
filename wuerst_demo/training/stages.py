"""The stages of a training run, in the order in which they depend on each other.

Each trains to its end, resumes after an interruption, or returns at once if it is finished.

    draw      renders the images of all scenes
    vqgan     Stage A: images <-> latents at a quarter of the size
    encoder   images -> z, the image encoder, pretrained by classifying and reconstructing images
    together  image encoder and Stage B, so that z carries what the decoder needs
    decoder   Stage B: latents from noise, given z and the caption; z is fixed from here on
    words     the prior's text encoder, pretrained by reading the labels of captions
    prior     Stage C: z from noise, given the caption
"""

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from random import Random
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from wuerst_demo.training import diffusion, models
from wuerst_demo.training.config import TrainingConfig
from wuerst_demo.training.data.batches import BatchLoader, downscale
from wuerst_demo.training.data.captions import caption
from wuerst_demo.training.data.dataset import Batch
from wuerst_demo.training.data.labels import LabelEncoder
from wuerst_demo.training.data.scenes import Kind, Scene, sample_scene
from wuerst_demo.training.evaluation import report
from wuerst_demo.training.tokenizer import MAX_TOKENS, english_words, train_tokenizer
from wuerst_demo.training.trainer import Modules, TrainingStage, is_finished, load_ema, train

EARLY_SHARE, EARLY_SHARE_AT_END, REFINE_FROM = 0.6, 0.25, 0.75
"""Share of Stage B's timesteps from the first sampling steps, where it has to recall what things look like, and the
smaller share from REFINE_FROM of the stage on: later in sampling, the noisy image itself shows most of it."""
PRIOR_EARLY_SHARE = 0.4
"""Share of Stage C's timesteps from the first sampling steps, where the composition is decided."""
COUPLED_FROM, COUPLED_SHARE = 0.75, 0.5
"""Timestep from which on Stage C's noise tells where things are (`diffusion.couple_noise`), and the share of the others
in which it does, too. There, noisy z itself shows it. Variations and redrawn regions add other noise to it."""
UNCONDITIONAL_SHARE = 0.1
"""Share of captions that are dropped, for classifier-free guidance (arXiv:2207.12598, section 3.2)."""
CROP_PX, EDGE_PX = 128, 6
"""Crops that the VQGAN learns from, and the width of their edges, which have a higher weight."""
SHORT_CAPTION_TOKENS, FULL_LENGTH_FROM = 40, 0.8
"""Length of captions until FULL_LENGTH_FROM of a stage, then MAX_TOKENS: few are longer, and padding costs time."""
AUXILIARY_WEIGHT = 0.05  #: Weight of the loss of `models.CaptionHead`.
SAMPLE_SHEETS = 8  #: Sample sheets that Stage B and Stage C write.
Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[int, float], Tensor]


class TrainingRun:
    """One run on one device. `half` is the type of autocast, None for float32. The keys of modules are those of saved
    states: "sketcher", "namer" and "hints" are the auxiliary SketchDecoder, ContentHead and CaptionHead."""

    def __init__(self, config: TrainingConfig, device: torch.device, half: torch.dtype | None) -> None:
        self.config, self.device, self.half = config, device, half
        self.dataset = config.dataset
        self.loader, self.prior_loader = (BatchLoader(each, device) for each in (self.dataset, config.prior_dataset))
        self.distil_loader = BatchLoader(config.distil_dataset, device)
        self.vqgan_decoder_loader = BatchLoader(config.vqgan_decoder_dataset, device)
        self.labels = LabelEncoder(config.known)
        config.folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """The run's tokenizer, trained on first use."""
        folder = self.config.folder / "tokenizer"
        if not folder.exists():
            train_tokenizer(self.config.vocabulary, self.config.captions).save_pretrained(folder)
        tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
        return tokenizer

    def draw(self) -> None:
        """Renders the images of all scenes but the classifier's."""
        self.config.save()
        self.dataset.render()
        self.prior_loader.dataset.render()

    def vqgan(self) -> nn.Module:
        """Stage A; afterwards the latents of all images are computed.

        Half of each batch goes through the codebook; the other half gets a little noise instead, since the decoder's
        latents are neither quantised nor perfect.
        """
        torch.manual_seed(0)
        network = self.place(models.build_vqgan(self.config.scale))
        nn.init.normal_(network.vquantizer.embedding.weight)
        edge_weights = crop_edge_weights(CROP_PX).to(self.device)

        def loss(step: int, progress: float) -> Tensor:
            batch = self.dataset.sample_batch(step, self.config.stages["vqgan"].batch * 2)
            rng = np.random.default_rng((1, step))
            left, top = (int(rng.integers(side - CROP_PX + 1)) for side in batch.size)
            crops = self.loader.images(batch)[:, :, top : top + CROP_PX, left : left + CROP_PX]
            crops = crops.contiguous(memory_format=torch.channels_last)
            latents = network.encode(crops).latents
            half = len(crops) // 2
            quantised, codebook_loss, _ = network.vquantizer(latents[:half].float())
            noisy = latents[half:] + 0.05 * torch.randn_like(latents[half:])
            error = network.decode(torch.cat([quantised, noisy])).sample.float() - crops
            total: Tensor = (edge_weights * (error.pow(2) * 4 + error.abs())).mean() + 0.1 * codebook_loss.float()
            return total

        self._delete_outdated("vqgan", "latents", self.loader)
        trained = self.train_stage("vqgan", {"vqgan": network}, loss)["vqgan"]
        self.loader.derive("latents", lambda images: trained.encode(images).latents, self.half)  # type: ignore[operator]
        return trained

    def encoder(self) -> None:
        """The image encoder, as far as its auxiliary heads teach it."""
        modules = self._encoder_modules()

        def loss(step: int, progress: float) -> Tensor:
            batch = self.dataset.sample_batch(step, self.config.stages["encoder"].batch)
            return self._encoder_loss(modules, batch)[0]

        self.train_stage("encoder", modules, loss, final_rate=0.4)

    def together(self) -> None:
        """Image encoder and Stage B; afterwards z of all images is computed. The auxiliary losses go on: they keep z of
        similar images similar, and the prior's sample sheets need the sketch decoder.

        Raises SetupError if `encoder` has not been trained.
        """
        modules = load_ema(self.config.folder, "encoder", self._encoder_modules(), training=True)
        modules = {**modules, **self.decoder_modules()}

        def loss(step: int, progress: float) -> Tensor:
            batch = self.dataset.sample_batch(step, self.config.stages["together"].batch)
            encoder_loss, z = self._encoder_loss(modules, batch)
            return self._decoder_loss(modules, batch, step, z, 0.0) + encoder_loss

        self._delete_outdated("together", "z", self.loader, self.prior_loader)
        trained = self._train_decoder("together", modules, loss, final_rate=0.3)
        for loader in (self.loader, self.prior_loader):
            loader.derive("z", partial(models.encode_images, trained["encoder"]))

    def decoder(self) -> None:
        """Stage B, from where `together` left it. The image encoder is frozen, so that the prior can be trained at the
        same time. Raises SetupError if `together` has not been trained."""
        modules = load_ema(self.config.folder, "together", self.decoder_modules(), training=True)

        def loss(step: int, progress: float) -> Tensor:
            seed = self.config.batch_seed(step)
            batch = self.dataset.sample_batch(seed, self.config.stages["decoder"].batch)
            return self._decoder_loss(modules, batch, seed, self.loader.derived("z", batch), progress)

        self._train_decoder("decoder", modules, loss)

    def words(self) -> None:
        """The prior's text encoder, from captions alone. They cost so little that it learns within minutes which of two
        things is where; thousands of the prior's steps had not taught it that."""
        modules = self._words_modules()

        def loss(step: int, progress: float) -> Tensor:
            rng = Random(f"words-{step}")
            kinds: list[Kind | None] = [rng.choice((None, "pair")) for _ in range(self.config.stages["words"].batch)]
            scenes = [sample_scene(rng, self.config.known, kind=kind, fixed_layout=True) for kind in kinds]
            captions = [caption(scene, rng, english_words()) for scene in scenes]
            return self._encode_captions(modules, scenes, captions, 0.0, layout=True)[1]

        self.train_stage("words", modules, loss, final_rate=0.1)

    def prior(self) -> None:
        """Stage C. Raises SetupError if `together` or `words` has not been trained."""
        sketcher = models.SketchDecoder(self.config.scale)
        self.place(load_ema(self.config.folder, "together", {"sketcher": sketcher})["sketcher"])
        torch.manual_seed(3)
        prior = self.place(models.build_prior(self.config.scale))
        models.prepare_for_training(prior, prior.out)
        modules = {"prior": prior, **load_ema(self.config.folder, "words", self._words_modules(), training=True)}

        def loss(step: int, progress: float) -> Tensor:
            seed = self.config.batch_seed(step)
            batch = self.prior_loader.dataset.sample_batch(seed, self.config.stages["prior"].batch)
            rng, words = Random(seed), english_words()
            captions = [caption(s, rng, words) if rng.random() > UNCONDITIONAL_SHARE else "" for s in batch.scenes]
            clean = self.prior_loader.derived("z", batch)
            t, noise = self._sample_timesteps(len(clean), PRIOR_EARLY_SHARE), torch.randn_like(clean)
            coupled = diffusion.couple_noise(noise, torch.tensor([scene.shift for scene in batch.scenes]))
            is_coupled = (t >= COUPLED_FROM) | (torch.rand(len(t)) < COUPLED_SHARE).to(self.device)
            noisy = diffusion.add_noise(clean, coupled.where(is_coupled.view(-1, 1, 1, 1), noise), t)
            text, auxiliary = self._encode_captions(modules, batch.scenes, captions, progress, layout=True)
            a, b = models.predict_prior_parts(prior, noisy, t, text)
            return diffusion.noise_parts_loss(a, b, clean, t) + AUXILIARY_WEIGHT * auxiliary

        def write_samples(steps: int, ema: Modules) -> None:
            places = zip(self.config.known[:16], itertools.cycle(report.SWEEPS["sample_places"]), strict=False)
            prompts = [f"a {thing.name} {place}" for thing, place in places]
            text = models.encode_text(ema["text"], self.tokenizer, [*prompts, *[""] * len(prompts)])
            report.save_prior_samples(self.config.folder / f"prior-{steps:06}.png", text, ema["prior"], sketcher)

        self.train_stage("prior", modules, loss, write_samples=write_samples)

    def caption_labels(self, scenes: Sequence[Scene], captions: Sequence[str], layout: bool = False) -> Tensor:
        """What each caption names (B, labels), with `layout` also its arrangement (B, labels + layout_labels); zeros
        for captions that were dropped."""
        labels = self.labels.encode(scenes)
        if layout:
            labels = torch.cat([labels, self.labels.encode_layout(scenes)], 1)
        return (labels * torch.tensor([[float(bool(text))] for text in captions])).to(self.device)

    def _delete_outdated(self, stage: str, kind: str, *loaders: BatchLoader) -> None:
        """Deletes arrays that the stage derives, unless it is finished."""
        if not is_finished(self.config.folder, stage, self.config.stages[stage].steps):
            for loader in loaders:
                loader.dataset.delete(kind)

    def train_stage(self, name: str, modules: Modules, loss: Loss, **options: Any) -> Modules:
        """Trains a stage with the configured steps, rate and time limit."""
        settings, limit_s = self.config.stages[name], self.config.time_limit_s(name)
        stage = TrainingStage(name, modules, loss, settings.steps, settings.rate, time_limit_s=limit_s, **options)
        if name in ("decoder", "prior"):
            stage.samples_every = max(200, settings.steps // SAMPLE_SHEETS)
        return train(stage, self.config.folder, self.device, self.half)

    def _train_decoder(self, name: str, modules: Modules, loss: Loss, **options: Any) -> Modules:
        """Trains a stage of Stage B. The parameters that read z are slow, since z has a standard deviation of 42."""
        vqgan = self.vqgan()
        mappers: Any = modules["decoder"].effnet_mappers
        slow = [mapper.get_parameter("weight") for mapper in mappers if isinstance(mapper, nn.Conv2d)]
        batch = Batch(self.dataset, (256, 256), np.arange(min(8, self.dataset.counts[256, 256])))

        @torch.no_grad()
        def write_samples(steps: int, ema: Modules) -> None:
            images = self.loader.images(batch)
            z = models.encode_images(ema["encoder"], images) if "encoder" in ema else self.loader.derived("z", batch)
            captions = [caption(scene, Random(k)) for k, scene in enumerate(batch.scenes)]
            text = models.encode_text(ema["text"], self.tokenizer, captions)
            path = self.config.folder / f"{name}-{steps:06}.png"
            report.save_decoder_samples(path, images, z, text, ema["decoder"], vqgan)

        return self.train_stage(name, modules, loss, write_samples=write_samples, slow=slow, **options)

    def place(self, network: Network) -> Network:
        """The network on the device, in the memory format that is fastest for convolutions."""
        nn.Module.to(network, self.device)
        nn.Module.to(network, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _text_modules(self, reader: str, labels: int) -> Modules:
        """Text encoder of the "prior" or the "decoder", and the auxiliary head that reads `labels` from it."""
        encoder = models.build_text_encoder(reader, self.config.scale, self.tokenizer)
        head = models.CaptionHead(encoder.config.hidden_size, labels)
        return {"text": self.place(encoder), "hints": self.place(head)}

    def _words_modules(self) -> Modules:
        """The prior's text encoder and its auxiliary head, untrained."""
        torch.manual_seed(3)
        return self._text_modules("prior", len(self.labels.labels) + len(self.labels.layout_labels))

    def decoder_modules(self) -> Modules:
        """Stage B, its text encoder and its auxiliary head, untrained."""
        torch.manual_seed(2)
        decoder = self.place(models.build_decoder(self.config.scale))
        models.prepare_for_training(decoder, decoder.clf)
        return {"decoder": decoder, **self._text_modules("decoder", len(self.labels.labels))}

    def _encoder_modules(self) -> Modules:
        """Image encoder and auxiliary heads, untrained."""
        torch.manual_seed(1)
        scale, things = self.config.scale, self.config.things
        return {
            "encoder": self.place(models.ImageEncoder(scale)),
            "sketcher": self.place(models.SketchDecoder(scale)),
            "namer": self.place(models.ContentHead(things, len(self.labels.labels) - things)),
        }

    def _encoder_loss(self, modules: Modules, batch: Batch) -> tuple[Tensor, Tensor]:
        """How badly noisy z allows to classify and to reconstruct the images, a scalar; and z (B, 16, h, w)."""
        images, things = self.loader.images(batch), self.config.things
        z = models.encode_images(modules["encoder"], images)
        cells, whole = modules["namer"](diffusion.augment_conditioning(z, 0.4))
        targets = self.labels.encode_positions(batch.scenes, batch.size, z.shape[2], z.shape[3]).to(self.device)
        weight = torch.ones(1 + things, device=self.device)
        weight[0] = 0.2  # most positions show no thing
        others = self.labels.encode(batch.scenes)[:, things:].to(self.device)
        thing_loss = functional.cross_entropy(cells.float(), targets, weight)
        label_loss = functional.binary_cross_entropy_with_logits(whole.float(), others, reduction="none").sum(1).mean()
        sketch = modules["sketcher"](diffusion.augment_conditioning(z, 0.25), images.shape[2], images.shape[3])
        error = sketch.float() - downscale(images, 0.25)
        return error.pow(2).mean() * 4 + error.abs().mean() + 0.15 * thing_loss + 0.03 * label_loss, z

    def _decoder_loss(self, modules: Modules, batch: Batch, seed: int, z: Tensor, progress: float) -> Tensor:
        """Stage B's loss, a scalar, given z (B, 16, h, w) and captions sampled with `seed`."""
        rng = Random(seed)
        captions = [caption(scene, rng, english_words()) for scene in batch.scenes]
        # without a caption there is no image embedding either, as in sampling
        kept = [rng.random() >= UNCONDITIONAL_SHARE for _ in captions]
        captions = [text if keep else "" for text, keep in zip(captions, kept, strict=True)]
        mask = torch.tensor(kept, device=self.device).view(-1, 1, 1, 1)
        # z is as uncertain as a small prior's
        conditioning = models.decoder_conditioning(diffusion.augment_conditioning(z, 0.3)) * mask
        clean = self.loader.derived("latents", batch)
        t = self._sample_timesteps(len(clean), EARLY_SHARE if progress < REFINE_FROM else EARLY_SHARE_AT_END)
        noisy = diffusion.add_noise(clean, torch.randn_like(clean), t)
        text, auxiliary = self._encode_captions(modules, batch.scenes, captions, progress)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        a, b = modules["decoder"](noisy, t, conditioning, text, return_noise=False)
        return diffusion.noise_parts_loss(a, b, clean, t) + AUXILIARY_WEIGHT * auxiliary

    def _sample_timesteps(self, count: int, early: float) -> Tensor:
        """Timesteps (count,); `early` as in `diffusion.sample_timesteps`."""
        return diffusion.sample_timesteps(count, torch.default_generator, early).to(self.device)

    def _encode_captions(
        self, modules: Modules, scenes: Sequence[Scene], captions: Sequence[str], progress: float, layout: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Text embeddings (B, L, D), and the auxiliary loss, a scalar."""
        length = SHORT_CAPTION_TOKENS if progress < FULL_LENGTH_FROM else MAX_TOKENS
        text = models.encode_text(modules["text"], self.tokenizer, captions, length)
        return text, modules["hints"](text, self.caption_labels(scenes, captions, layout))


def crop_edge_weights(side: int) -> Tensor:
    """Weights of pixels (1, 1, side, side) with a mean of 1, three times as high at the edges as inside. A transposed
    convolution gets half of its input at an edge; without the weights it left dotted lines around images."""
    weight = torch.full((1, 1, side, side), 3.0)
    weight[..., EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = 1
    return weight / weight.mean()
