"""How far a drawing is: its events, counted, as a fraction and a short sentence.

Does not know Gradio, files or what a picture looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wuerst_demo.events import Progress, Queued, Stage
from wuerst_demo.request import Request

NAMES: dict[Stage, str] = {"prior": "Prior", "decoder": "Decoder", "vqgan": "VQGAN"}


@dataclass(frozen=True)
class Tally:
    """Where every image of one request stands. `standing[k]` is the last Progress of image k, `finished` holds the
    numbers of those that are done."""

    request: Request
    standing: tuple[Progress, ...]
    finished: frozenset[int] = frozenset()

    @classmethod
    def start(cls, request: Request) -> Tally:
        return cls(request, tuple(Progress(k, "prior", 0, request.prior_steps) for k in range(request.images)))

    def moved(self, progress: Progress) -> Tally:
        standing = tuple(progress if seen.image == progress.image else seen for seen in self.standing)
        return replace(self, standing=standing)

    def ended(self, image: int) -> Tally:
        return replace(self, finished=self.finished | {image})

    @property
    def fraction(self) -> float:
        """Evaluations done, over all images, from 0 to 1. An image in the VQGAN has all but the last one behind it."""
        whole = self.request.prior_steps + self.request.decoder_steps + 1
        done = sum(whole if seen.image in self.finished else self._evaluations(seen) for seen in self.standing)
        return min(1.0, done / (whole * len(self.standing)))

    def _evaluations(self, seen: Progress) -> int:
        before = {"prior": 0, "decoder": self.request.prior_steps}
        if seen.stage == "vqgan":
            return self.request.prior_steps + self.request.decoder_steps
        return before[seen.stage] + seen.step

    @property
    def sentence(self) -> str:
        """Stage and step of the image that is furthest ahead (the first of them), which does not jump to and fro while
        images take their steps in turn."""
        running = [seen for seen in self.standing if seen.image not in self.finished]
        if not running:
            return "Finished"
        ahead = max(running, key=lambda seen: (self._evaluations(seen), -seen.image))
        # Nothing is heard of the VQGAN before it is through: it is at work when the decoder has taken its last step.
        pixels = ahead.stage == "vqgan" or (ahead.stage == "decoder" and ahead.step == ahead.of)
        step = NAMES["vqgan"] if pixels else f"{NAMES[ahead.stage]} {ahead.step} of {ahead.of}"
        if len(self.standing) == 1:
            return step
        return f"{step}, picture {ahead.image + 1} of {len(self.standing)}"


def waiting(queued: Queued) -> str:
    """The place in line in words: "Waiting, 2 ahead, about 20 s"."""
    ahead = queued.position - 1
    line = "Waiting, next in line" if ahead < 1 else f"Waiting, {ahead} ahead"
    return line if queued.wait is None else f"{line}, about {max(1, round(queued.wait))} s"
