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
    numbers of those that are done; `rest` is how many seconds the whole will still take, None where unknown."""

    request: Request
    standing: tuple[Progress, ...]
    finished: frozenset[int] = frozenset()
    rest: float | None = None

    @classmethod
    def start(cls, request: Request) -> Tally:
        return cls(request, tuple(Progress(k, "prior", 0, request.prior_steps) for k in range(request.images)))

    def moved(self, progress: Progress) -> Tally:
        standing = tuple(progress if seen.image == progress.image else seen for seen in self.standing)
        return replace(self, standing=standing, rest=progress.rest)

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
        if len(self.standing) > 1:
            step = f"{step}, picture {ahead.image + 1} of {len(self.standing)}"
        return step if self.rest is None else f"{step}, {about(self.rest)} left"


def waiting(queued: Queued) -> str:
    """The place in line in words: "3rd in line, about 20 s"."""
    line = "Next in line" if queued.position <= 1 else f"{ordinal(queued.position)} in line"
    return line if queued.wait is None else f"{line}, {about(queued.wait)}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st, ..."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ends.get(number % 10, 'th')}"


def about(seconds: float) -> str:
    """A time to come, as exact as it is known: "about 7 s", "about 40 s", "about 3 min"."""
    if seconds < 20:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90:
        return f"about {round(seconds / 5) * 5} s"
    return f"about {round(seconds / 60)} min"


def kept(finished: int) -> str:
    """What is left of a drawing that was stopped."""
    saved = {0: "No picture was finished.", 1: "The finished picture is kept."}
    return "Stopped. " + saved.get(finished, f"The {finished} finished pictures are kept.")
