"""Progress of a request: its events as a fraction and a short text for users."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from wuerst_demo.events import Moved, Progress, Queued, Stage
from wuerst_demo.messages import Message, message
from wuerst_demo.request import Request

STAGE_LABELS: dict[Stage, str] = {"prior": "Prior", "decoder": "Decoder", "vqgan": "VQGAN"}


@dataclass(frozen=True)
class ProgressTracker:
    """The progress of all images of one request."""

    request: Request
    latest: tuple[Progress, ...]
    """The latest event of each image, by its index."""
    finished: frozenset[int] = frozenset()
    """Indices of the finished images."""
    moved: frozenset[int] = frozenset()
    """Indices of the images that began again on another device."""
    remaining_s: float | None = None
    """Expected time until the whole request is done; None where unknown."""

    @classmethod
    def start(cls, request: Request) -> ProgressTracker:
        return cls(request, tuple(Progress(k, "prior", 0, request.prior_steps) for k in range(request.images)))

    def update(self, event: Progress | Moved) -> ProgressTracker:
        if isinstance(event, Moved):
            begun_again = Progress(event.index, "prior", 0, self.request.prior_steps)
            return replace(self.update(begun_again), moved=self.moved | {event.index})
        latest = tuple(event if each.index == event.index else each for each in self.latest)
        return replace(self, latest=latest, remaining_s=event.remaining_s)

    def finish(self, image: int) -> ProgressTracker:
        return replace(self, finished=self.finished | {image})

    @property
    def fraction(self) -> float:
        """Share of all evaluations of all images, 0 to 1. The VQGAN counts as one evaluation."""
        total = self.request.prior_steps + self.request.decoder_steps + 1
        done = sum(total if each.index in self.finished else self._evaluations(each) for each in self.latest)
        return min(1.0, done / (total * len(self.latest)))

    def _evaluations(self, progress: Progress) -> int:
        match progress.stage:
            case "prior":
                return progress.step
            case "decoder":
                return self.request.prior_steps + progress.step
            case "vqgan":
                return self.request.prior_steps + self.request.decoder_steps

    @property
    def text(self) -> str:
        """Stage and step of the image that is furthest ahead, so that it does not alternate between images."""
        running = [each for each in self.latest if each.index not in self.finished]
        if not running:
            return message("Finished")
        ahead = max(running, key=lambda each: (self._evaluations(each), -each.index))
        # The VQGAN reports nothing before it is done: it runs once the decoder has taken its last step.
        if ahead.stage == "vqgan" or (ahead.stage == "decoder" and ahead.step == ahead.total_steps):
            text: str = STAGE_LABELS["vqgan"]
        else:
            label, total = STAGE_LABELS[ahead.stage], ahead.total_steps
            text = message("{stage} {step} of {of}", stage=label, step=ahead.step, of=total)
        if (images := len(self.latest)) > 1:
            number = ahead.index + 1
            text = message("{progress}, picture {number} of {images}", progress=text, number=number, images=images)
        if any(each.index in self.moved for each in running):
            text = message("{progress}, moved to another machine", progress=text)
        if self.remaining_s is None:
            return text
        return message("{progress}, {time} left", progress=text, time=duration_text(self.remaining_s))


_ANNOUNCED_PARAMETER = {
    "{stage} {step} of {of}": "stage",
    "{progress}, {time} left": "progress",
    "{position}, {time}": "position",
}
"""Templates of progress texts that change with every step -> the parameter that does not."""


def announcement(text: Any) -> Any:
    """A progress text as screen readers announce it: with its stages and positions, without steps and times.

    Anything that is not a `Message` is returned as it is.
    """
    if not isinstance(text, Message):
        return text
    parameters = {name: announcement(value) for name, value in text.parameters.items()}
    kept = _ANNOUNCED_PARAMETER.get(text.template)
    return parameters[kept] if kept else Message(text.template, parameters)


def queue_text(queued: Queued) -> Message:
    """The position in the queue: "Position 3 in the queue, about 20 s"."""
    if queued.position <= 1:
        position = message("Next in the queue")
    else:
        position = message("Position {number} in the queue", number=queued.position)
    if queued.wait_s is None:
        return position
    return message("{position}, {time}", position=position, time=duration_text(queued.wait_s))


def duration_text(seconds: float) -> Message:
    """An expected duration, rounded to what is known of it: "about 7 s", "about 40 s", "about 3 min"."""
    if seconds < 90:
        rounded = max(1, round(seconds)) if seconds < 20 else round(seconds / 5) * 5
        return message("about {seconds} s", seconds=rounded)
    return message("about {minutes} min", minutes=round(seconds / 60))


def count_text(images: int) -> Message:
    """A number of images: "1 picture", "3 pictures"."""
    return message("1 picture") if images == 1 else message("{count} pictures", count=images)


def stopped_text(finished: int) -> Message:
    """What is left of a request that was cancelled with `finished` images."""
    match finished:
        case 0:
            kept = message("No picture was finished.")
        case 1:
            kept = message("The finished picture is kept.")
        case _:
            kept = message("The {count} finished pictures are kept.", count=finished)
    return message("Stopped. {kept}", kept=kept)
