"""How a row moves: text becomes rows, rows go through prior and decoder step by step, the VQGAN makes pictures of them.

A step takes rows that stand in one network with one shape (equal `key`) and returns them moved on. It changes nothing
about those it was given, so after a failure the same rows can be tried again and come out the same. A row's picture is
the same alone and in any company.

Does not know which rows go next, who asked for them, or where the parts came from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image
from torch import Tensor

from wuerst_demo.errors import UserError
from wuerst_demo.events import Stage
from wuerst_demo.model import faults, schedule
from wuerst_demo.model.configs import VQGAN
from wuerst_demo.model.faults import telling
from wuerst_demo.model.keeping import Keeping
from wuerst_demo.model.machine import HERE, Machine
from wuerst_demo.model.needs import working
from wuerst_demo.model.parts import Parts
from wuerst_demo.model.preview import Palette
from wuerst_demo.model.prompts import Prompts
from wuerst_demo.model.row import Leg, Row, Seen
from wuerst_demo.request import Limits, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 64
"""Positions on the longer side of an estimate that is handed out: what a page can show, and eight pictures of a hundred
steps stay small."""
LITTLE = 2**28
"""Bytes that are taken to be there."""
LONG = 308
"""Tokens, four rows of them, beyond which a text's keys and values are not kept: they are many times as large as the
text, and all who draw would do without the memory. A text of so many tokens is mapped at every step instead."""


class Cascade:
    """The networks and encoders of `parts`, and what can be done with them in whatever thread is at hand.

    Everything may raise MemoryError, which leaves rows as they were, and DeviceLost, after which they are of no use.
    `prompts` is given where somebody else reads prompts with it too; otherwise it is made from `parts`. `device` is
    where the networks compute, which under offload they do not know themselves; without, it is where the prior is.
    `palette` gives previews their colours; without one, they are fitted to what this cascade draws.
    """

    def __init__(
        self,
        parts: Parts,
        limits: Limits,
        prompts: Prompts | None = None,
        device: str | None = None,
        palette: Palette | None = None,
        machine: Machine = HERE,
    ) -> None:
        self.limits = limits
        self._parts = parts
        self._prompts = prompts or Prompts(parts)
        self._palette = palette or Palette()
        self._device = torch.device(device or parts.prior.device)
        self._machine = machine

    @telling
    @torch.inference_mode()
    def begin(self, request: Request) -> list[Row]:
        """The rows of a request, one an image, at the prior's start: text encoded, first noise drawn.

        Raises PromptError for a prompt that cannot be read.
        """
        legs: dict[Stage, Leg] = {
            "prior": self._leg("prior", request, request.prior_guidance),
            "decoder": self._leg("decoder", request, request.decoder_guidance),
        }
        notes = self._notes(request, any(leg.negative is not None for leg in legs.values()))
        multiple, prior = self._parts.resolution_multiple, self._parts.prior
        shape = (prior.config["c_in"], math.ceil(request.height / multiple), math.ceil(request.width / multiple))
        self._palette.look()
        rows = []
        for image in range(request.images):
            alone = request.image(image)
            generator = torch.Generator().manual_seed(alone.seed)
            latents = self._draw([generator], shape, prior.dtype)
            rows.append(Row(image, alone, "prior", 0, request.prior_steps, notes, latents, generator, legs))
        return rows

    @telling
    @torch.inference_mode()
    def step(self, rows: Sequence[Row]) -> list[Row | UserError]:
        """One evaluation for rows of one key, standing in prior or decoder; returns them moved on, in their order.

        A row after the last evaluation of a network stands at the start of what comes next. In the place of one whose
        values are no numbers any more stands the UserError that says so; it takes nobody along, as rows are not mixed.
        """
        # Guided rows first, so that their halves are slices and nothing has to be gathered by index on the device.
        order = sorted(range(len(rows)), key=lambda i: rows[i].legs[rows[i].stage].negative is None)
        moved, finite = self._step([rows[i] for i in order])
        # Devices run behind, and this look waits for them, once a step: so a step's time is its own, its error is
        # raised in it, and what is shown has happened. The price is the gap in which the next step is prepared; to run
        # ahead would save it, and spend a whole step on every row that is cancelled, spoilt or short of memory.
        made = dict(zip(order, zip(moved, finite.tolist(), strict=True), strict=True))
        return [row if good else UserError(_spoilt(row)) for row, good in (made[i] for i in range(len(rows)))]

    @telling
    @torch.inference_mode()
    def decode(self, rows: Sequence[Row]) -> Tensor:
        """The pixels of rows of one key that stand in "vqgan": (n, 3, H, W), meant for 0..1 but not clamped yet."""
        self._look_for_room(rows)
        latents = self._parts.vqgan.config["scale_factor"] * _joined([row.latents for row in rows])
        pixels: Tensor = self._parts.vqgan.decode(latents).sample
        return pixels

    @telling
    @torch.inference_mode()
    def finish(self, rows: Sequence[Row]) -> list[Image.Image | UserError]:
        """For each of the rows, which stand in "vqgan", its picture, or the UserError that says why it has none."""
        pixels = self.decode(rows)
        whole = pixels.isfinite().flatten(1).all(1).tolist()
        # As diffusers' numpy_to_pil rounds, but on the device, so that a quarter as much has to be fetched.
        values = pixels.clamp(0, 1).float().mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        for row, value, good in zip(rows, values, whole, strict=True):
            if good and self._palette.learning and row.embeddings is not None:
                prior = (row.embeddings + self._parts.latent_std) / self._parts.latent_mean
                self._palette.learn(prior[0], row.latents[0], value)
        return [
            Image.fromarray(value) if good else UserError(_spoilt(row))
            for row, value, good in zip(rows, values, whole, strict=True)
        ]

    @telling
    @torch.inference_mode()
    def estimates(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """For rows after an evaluation: the clean latents as it saw them, (16, h, w) from the prior or (4, h, w) from
        the decoder, on the host. No side is longer than LONGEST; larger ones are averaged down by a whole factor."""
        return [_small(_clean([row]))[0].cpu().numpy() for row in rows]

    @telling
    @torch.inference_mode()
    def previews(self, rows: Sequence[Row]) -> list[bytes | None]:
        """For rows after an evaluation, of one key: what each looks like so far, as JPEG bytes. None as long as there
        is no map of colours, which is only before the first picture of a checkpoint."""
        if not self._palette.ready or not rows:
            return [None] * len(rows)
        stage = rows[0].seen.stage if rows[0].seen else rows[0].stage
        sizes = [(row.request.width, row.request.height) for row in rows]
        return [*self._palette.paint(stage, _clean(rows), sizes)]

    def relieve(self) -> None:
        """Lets go of memory that is kept for later, after a MemoryError, when its tensors are gone."""
        faults.relieve(self._device)

    def probe(self) -> None:
        """Asks the device for a sign of life. Raises DeviceLost where there is none."""
        faults.probe(self._device)

    def _notes(self, request: Request, guided: bool) -> tuple[str, ...]:
        """What the person should know about how both prompts were read."""
        notes = self._prompts.read(request.prompt, request.weighting).notes
        if guided:
            against = self._prompts.read(request.negative_prompt, request.weighting).notes
            return (*notes, *(f"Negative prompt: {note}" for note in against))
        if request.negative_prompt:
            return (*notes, "The negative prompt has no effect, because both guidances are 1 or less.")
        return notes

    def _leg(self, network: Literal["prior", "decoder"], request: Request, scale: float) -> Leg:
        negative = request.negative_prompt if scale > 1 else None
        embedded = self._prompts.embed(network, request.prompt, negative, request.weighting)
        if network == "prior":
            times, dtype = schedule.timesteps(request.prior_schedule, request.prior_steps), self._parts.prior.dtype
        else:
            times, dtype = schedule.timesteps("linear", request.decoder_steps), self._parts.decoder.dtype
        return Leg(
            text=embedded.text.to(self._device, dtype),
            negative=None if embedded.negative is None else embedded.negative.to(self._device, dtype),
            guidance=None if embedded.negative is None else torch.tensor([scale], device=self._device),
            lines=schedule.moves(times, dtype).to(self._device),
        )

    def _draw(self, generators: Sequence[torch.Generator], shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Fresh noise, (n, *shape), each row from its own CPU generator: the same numbers on every device."""
        noise = torch.empty((len(generators), *shape), dtype=dtype, pin_memory=self._device.type == "cuda")
        for row, generator in zip(noise, generators, strict=True):
            row.normal_(generator=generator)
        # Elsewhere the copy may come after the memory has been another's: https://github.com/pytorch/pytorch/issues/139550
        return noise.to(self._device, non_blocking=noise.is_pinned())

    def _step(self, rows: Sequence[Row]) -> tuple[list[Row], Tensor]:
        """`step` for rows of which the guided ones come first; also which of them are numbers throughout, (n,)."""
        stage = rows[0].stage
        self._look_for_room(rows)
        legs = self._kept(stage, [row.legs[stage] for row in rows])
        latents = _joined([row.latents for row in rows])
        lines = torch.stack([leg.lines[row.step] for row, leg in zip(rows, legs, strict=True)])
        before, predicted = latents, self._predict(stage, rows, legs, latents, lines[:, 0].to(latents.dtype))
        # The device is at work on the forward pass by now; the next noise is drawn beside it. Copied generators leave
        # the rows as they were.
        generators = [row.generator.clone_state() for row in rows]
        noise = self._draw(generators, latents.shape[1:], latents.dtype)
        latents = schedule.denoise(before, predicted, lines, noise)
        seen = [Seen(stage, before[i : i + 1], predicted[i : i + 1], lines[i : i + 1, 0]) for i in range(len(rows))]
        moved = [
            self._onward(
                dataclasses.replace(row, generator=generator, seen=seen[i], legs={**row.legs, stage: legs[i]}),
                latents[i : i + 1],
            )
            for i, (row, generator) in enumerate(zip(rows, generators, strict=True))
        ]
        return moved, latents.isfinite().flatten(1).all(1)

    def _look_for_room(self, rows: Sequence[Row]) -> None:
        """Raises MemoryError where main memory has no room for what rows of one key need next. A system that promises
        more memory than it has never says so itself: it ends the program."""
        if self._device.type != "cpu":
            return
        parts, request, stage = self._parts, rows[0].request, rows[0].stage
        configs = (parts.prior.config, parts.decoder.config, parts.vqgan.config)
        found = working(*configs, request.width * request.height, parts.resolution_multiple)
        if stage == "vqgan":
            needed = found[VQGAN.called] * len(rows)
        else:
            samples = len(rows) + sum(row.legs[stage].negative is not None for row in rows)
            needed = found[stage] * samples // (2 if stage == "prior" else 1)  # where two are counted as one row's
        needed *= parts.vqgan.dtype.itemsize
        if needed > LITTLE and needed > self._machine.memory("cpu").free:
            raise MemoryError("main memory has no room for this step")

    def _kept(self, stage: Stage, legs: Sequence[Leg]) -> list[Leg]:
        """The legs with their texts as a network that keeps texts wants them; those that have it so, and LONG
        ones, are not touched."""
        network: object = self._parts.prior if stage == "prior" else self._parts.decoder
        new = list({id(leg): leg for leg in legs if leg.text.dim() == 3 and leg.text.shape[1] <= LONG}.values())
        if not new or not isinstance(network, Keeping):
            return list(legs)
        texts = [text for leg in new for text in (leg.text, leg.negative) if text is not None]
        # Copies, or each would hold the memory of all for as long as it is there.
        kept = iter([each.clone() for each in torch.split(network.keep(_joined(texts)), 1)])
        done = {
            id(leg): dataclasses.replace(leg, text=next(kept), negative=None if leg.negative is None else next(kept))
            for leg in new
        }
        return [done.get(id(leg), leg) for leg in legs]

    def _predict(self, stage: Stage, rows: Sequence[Row], legs: Sequence[Leg], latents: Tensor, t: Tensor) -> Tensor:
        """The noise that the network sees, guidance applied: one forward pass over n + (guided rows) samples."""
        count = len(rows)
        against = [leg.negative for leg in legs if leg.negative is not None]
        guided = len(against)
        text = _joined([leg.text for leg in legs] + against)
        if guided:
            latents, t = torch.cat([latents, latents[:guided]]), torch.cat([t, t[:guided]])
        if stage == "prior":
            predicted: Tensor = self._parts.prior(latents, r=t, c=text)
        else:
            embeddings = [row.embeddings for row in rows if row.embeddings is not None]
            # Without its text, a row is also without its embeddings: zeros, as the decoder was trained.
            nothing = [torch.zeros_like(each) for each in embeddings[:guided]]
            if self._device.type == "cpu":
                # Channels last in memory: the decoder's linear layers take their input as it lies, as one matrix.
                latents = latents.contiguous(memory_format=torch.channels_last)
            predicted = self._parts.decoder(latents, r=t, effnet=_joined(embeddings + nothing), clip=text)
        if not guided:
            return predicted
        # A scale a row, in float32, whatever the type: what the stock code computes inside its lerp with one scale.
        scale = _joined([leg.guidance for leg in legs if leg.guidance is not None]).view(-1, 1, 1, 1)
        pulled = torch.lerp(predicted[count:].float(), predicted[:guided].float(), scale).to(predicted.dtype)
        return pulled if guided == count else torch.cat([pulled, predicted[guided:count]])

    def _onward(self, row: Row, latents: Tensor) -> Row:
        """The row one evaluation further, which may be the start of its next stage."""
        if row.step + 1 < row.of:
            return dataclasses.replace(row, step=row.step + 1, latents=latents)
        if row.stage == "decoder":
            return dataclasses.replace(row, stage="vqgan", step=0, of=1, latents=latents, legs={})
        embeddings = latents * self._parts.latent_mean - self._parts.latent_std
        height, width = (int(side * self._parts.latent_dim_scale) for side in latents.shape[2:])
        decoder = self._parts.decoder
        return dataclasses.replace(
            row,
            stage="decoder",
            step=0,
            legs={"decoder": row.legs["decoder"]},
            of=row.request.decoder_steps,
            latents=self._draw([row.generator], (decoder.config["c_in"], height, width), decoder.dtype),
            embeddings=embeddings.to(decoder.dtype),
        )


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors along their first dimension; a single one as it is, without a copy."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _clean(rows: Sequence[Row]) -> Tensor:
    """The clean latents as the rows' last evaluation saw them: (n, C, h, w), float32."""
    seen = [row.seen for row in rows if row.seen is not None]
    latents, predicted = _joined([each.latents for each in seen]), _joined([each.predicted for each in seen])
    return schedule.clean(latents, predicted, _joined([each.t for each in seen]))


def _small(latents: Tensor) -> Tensor:
    """Latents averaged down by a whole factor until no side is longer than LONGEST."""
    factor = math.ceil(max(latents.shape[2:]) / LONGEST)
    return latents if factor == 1 else torch.nn.functional.avg_pool2d(latents, factor, ceil_mode=True)


def _spoilt(row: Row) -> str:
    """Why a picture with values that are no numbers is not shown, and what to do."""
    what = f"Picture {row.image + 1} came out as no picture, its values are not numbers in this data type"
    if row.latents.dtype == torch.float32:
        return f"{what}; lower the guidance or the weights in the prompt."
    return f"{what}; start the program with --dtype float32."
