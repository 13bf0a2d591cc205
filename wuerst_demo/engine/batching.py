"""Which rows go next: pure functions of where the rows stand. Does not know threads, torch or the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from wuerst_demo.engine.rows import R


def together(rows: Sequence[R], most: int) -> list[R]:
    """The first row and those that may share its forward pass, in their order, `most` at most; `rows` is not empty."""
    return [row for row in rows if row.key == rows[0].key][:most]


class Job(Protocol):
    """Something a device can do for a person: one evaluation of a row, say, or reading a prompt.

    Jobs with equal keys can be done in one go, `room` of them at most. `rank` is the order of arrival, the smaller the
    earlier; among the jobs of one `owner` the smallest goes first. `stage` says which network it takes.
    """

    @property
    def owner(self) -> str: ...
    @property
    def rank(self) -> tuple[int, ...]: ...
    @property
    def key(self) -> Hashable: ...
    @property
    def room(self) -> int: ...
    @property
    def stage(self) -> str: ...


J = TypeVar("J", bound=Job)


def lined_up(jobs: Sequence[Job], line: Sequence[str]) -> list[str]:
    """Everybody who has a job, in the order of their turns: as in `line`, and newcomers behind it, by rank."""
    owners = dict.fromkeys(job.owner for job in sorted(jobs, key=lambda job: job.rank))
    known = [owner for owner in line if owner in owners]
    return [*known, *(owner for owner in owners if owner not in set(known))]


def turn(jobs: Sequence[J], line: Sequence[str]) -> tuple[list[J], list[str]]:
    """The jobs of the next turn, and the line of people after it. No jobs: an empty turn.

    People take turns, whatever they have asked for: the first in line leads with the first of their jobs and goes to
    the end. Others' jobs with the lead's key ride along as far as there is room, one of each person before a second
    of anybody, the oldest first. Riding along costs nobody their turn.

    The bound. Of `people` in line, between two turns of one person at most people - 1 are led by others, and every
    turn does the first of its leader's jobs. So a job that has k of its owner's turns ahead of it (their older rows
    have k evaluations to go, readings and decodings included) is done within people * (k + 1) turns of its arrival,
    whatever its shape and stage, and whatever the others have asked for: somebody's eight pictures count as one
    person. Those who come later stand behind and lengthen nobody's round under way.
    """
    line = lined_up(jobs, line)
    if not line:
        return [], []
    lead = min((job for job in jobs if job.owner == line[0]), key=lambda job: job.rank)
    fitting = sorted((job for job in jobs if job.key == lead.key), key=lambda job: job.rank)
    rounds: Counter[str] = Counter()
    ordered = []
    for job in fitting:
        ordered.append((rounds[job.owner], job is not lead, job.rank, job))
        rounds[job.owner] += 1
    ordered.sort(key=lambda each: each[:3])
    return [job for *_, job in ordered][: lead.room], [*line[1:], line[0]]


@dataclass(frozen=True)
class Place:
    """Between two turns: who is in line, in which network the device is, and how many more turns it may stay there
    out of turn; `aside` is the line of those turns."""

    line: Sequence[str] = ()
    aside: Sequence[str] = ()
    stage: str = ""
    left: int = 0


def next_turn(jobs: Sequence[J], place: Place, stay: int = 0) -> tuple[list[J], Place]:
    """`turn`, for a device on which it costs time to go from one network to another, as under model offload.

    After each turn in line the device stays in that network for up to `stay` turns out of line, as long as there is
    something to do in it. These take nobody's place in line, so the bound of `turn` holds for the turns in line, and of
    all turns a job waits for at most people * (k + 1) * (stay + 1).
    """
    near = [job for job in jobs if job.stage == place.stage] if place.left else []
    if near:
        batch, aside = turn(near, place.aside)
        return batch, replace(place, aside=aside, left=place.left - 1)
    batch, line = turn(jobs, place.line)
    return batch, Place(line, place.aside, batch[0].stage if batch else "", stay)
