"""Scheduler: chooses the images that share the next step. Pure functions of the work that can be done."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

MAX_CATCH_UP_STEPS = 8
"""Steps in a row for images that are behind, at most, and that many steps behind."""
STEPS_PER_CATCH_UP = 2
"""Regular steps that earn one more."""
MAX_BATCHES_AT_ONCE = 2
"""Batches of images under way, as many as the two networks have, up to which prompts are encoded at once."""


class Schedulable(Protocol):
    """Unit of work of one session: a step of an image, or encoding a prompt."""

    @property
    def session(self) -> str: ...
    @property
    def address(self) -> str:
        """Network address of the session's client, "" where unknown."""

    @property
    def rank(self) -> tuple[int, ...]:
        """Order of arrival, smallest first; the order of work within a session."""

    @property
    def key(self) -> Hashable:
        """Equal for work that can be done in one batch."""

    @property
    def max_batch_size(self) -> int: ...
    @property
    def live(self) -> bool:
        """Whether it is of a live picture, which gives way to all other work."""

    @property
    def stage(self) -> str:
        """Network that does the work."""

    @property
    def size(self) -> Hashable:
        """Equal for images that can be expected to share batches of a later network."""

    @property
    def steps_left(self) -> int:
        """Of its stage."""


JobT = TypeVar("JobT", bound=Schedulable)


def queue_order(items: Sequence[Schedulable], order: Sequence[str]) -> list[str]:
    """Sessions that have work, in the order of their turns: as in `order`, then new ones by rank."""
    sessions = dict.fromkeys(item.session for item in sorted(items, key=lambda item: item.rank))
    known = [session for session in order if session in sessions]
    return [*known, *(session for session in sessions if session not in set(known))]


def count_turns(items: Sequence[Schedulable], order: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For each session that has work: turns before its first one, and from one of its turns to the next, at most."""
    client_of = {item.session: _client(item) for item in items}
    sessions_of: defaultdict[Hashable, list[str]] = defaultdict(list)
    for session in queue_order(items, order):
        sessions_of[client_of[session]].append(session)
    count = len(sessions_of)
    return {
        session: (position + count * number, count * len(sessions))
        for position, sessions in enumerate(sessions_of.values())
        for number, session in enumerate(sessions)
    }


def next_batch(items: Sequence[JobT], order: Sequence[str]) -> tuple[list[JobT], list[str]]:
    """Work of the next step, and the order of sessions after it. Without work, the batch is empty.

    Addresses take turns (round robin), and so do the sessions of an address; a session of unknown address counts as
    one. The first session in `order` leads with its first item and moves to the end, after the others of its address,
    which move there, too. Items of the same key fill the batch, one of each address before a second one of any, then
    one of each session, oldest first. Joining another's batch does not use up a turn.

    Live items lead only while there is no other work. Until then they join where there is room, at most as many as the
    others in the batch, so that they never more than double its cost.

    Bound: with `n` addresses in the order, at most n - 1 steps led by others lie between two steps of one, and at most
    n * m - 1 between two steps of one of its `m` sessions, however many the others have. Each step does its leader's
    first item. So an item that is not live and has k steps of its own session before it is done within n * m * (k + 1)
    steps of its arrival, whatever its size and stage and however much the others have requested. Sessions that arrive
    later go to the end of the order and do not lengthen the current round.
    """
    order = queue_order(items, order)
    if not order:
        return [], []
    leading = _urgent(items)
    leader = next(session for session in order if any(item.session == session for item in leading))
    lead = min((item for item in leading if item.session == leader), key=lambda item: item.rank)
    batch = _ranked([item for item in leading if item.key == lead.key], lead)[: lead.max_batch_size]
    if not lead.live:
        room = min(len(batch), lead.max_batch_size - len(batch))
        batch += _ranked([item for item in items if item.live and item.key == lead.key], lead)[:room]
    of_address = {item.session for item in items if _client(item) == _client(lead)} - {leader}
    others = [session for session in order if session != leader]
    return batch, [*sorted(others, key=of_address.__contains__), leader]


def _client(item: Schedulable) -> Hashable:
    """Equal for the sessions of one address."""
    return item.address, "" if item.address else item.session


def _urgent(items: Sequence[JobT]) -> Sequence[JobT]:
    """The items that may lead a step: those that are not live, or all if there are only live ones."""
    return [item for item in items if not item.live] or items


def _ranked(items: Sequence[JobT], lead: JobT) -> list[JobT]:
    """Items in the order in which they fill a batch: the lead, then one of each address, oldest first, and so on."""
    oldest_first = sorted(items, key=lambda item: (item is not lead, item.rank))
    return _alternate(_alternate(oldest_first, lambda item: item.session), _client)


def _alternate(items: Iterable[JobT], group: Callable[[JobT], Hashable]) -> list[JobT]:
    """Items in the same order, but one of each group before a second one of any."""
    taken: Counter[Hashable] = Counter()
    rounds = []
    for item in items:
        rounds.append((taken[group(item)], item))
        taken[group(item)] += 1
    return [item for _, item in sorted(rounds, key=lambda each: each[0])]


@dataclass(frozen=True)
class SchedulerState:
    """State of the scheduler between two steps."""

    order: Sequence[str] = ()
    """Order of sessions for regular steps."""
    extra_order: Sequence[str] = ()
    """Order of sessions for extra steps."""
    stage: str = ""
    """Network of the last regular step."""
    extra_left: int = 0
    """Extra steps that may still be made in this network."""
    catch_up_credit: int = MAX_CATCH_UP_STEPS * STEPS_PER_CATCH_UP
    """Regular steps that have not been used up for catching up."""
    encoded: frozenset[Hashable] = frozenset()
    """Clients of whom a prompt was encoded at once since the last step of prior or decoder."""


def schedule(
    items: Sequence[JobT], state: SchedulerState, max_extra_steps: int = 0
) -> tuple[list[JobT], SchedulerState]:
    """`next_batch` with steps beside the regular ones, which do not change the order of those.

    Where changing the network takes time, as with model offload, up to `max_extra_steps` follow each regular step in
    the same network, as long as it has work. Of all steps an item waits for at most n * m * (k + 1) *
    (max_extra_steps + 1), in the terms of `next_batch`.

    Elsewhere prompts and finished images do not wait for a turn, see `_at_once`, and an incomplete batch in the decoder
    lets images catch up that are a few steps from joining it, see `_catching_up`. Of the steps that take a turn or
    catch up an item waits for at most n * m * (k + 1) * (1 + 1 / STEPS_PER_CATCH_UP) + MAX_CATCH_UP_STEPS. Besides,
    after each step of prior or decoder come at most the pictures of the images that it has finished, and one prompt of
    each client, together no more than MAX_BATCHES_AT_ONCE batches have places.
    """
    if state.extra_left and any(item.stage == state.stage for item in _urgent(items)):
        same_network = [item for item in items if item.stage == state.stage]
        batch, extra_order = next_batch(same_network, state.extra_order)
        return batch, replace(state, extra_order=extra_order, extra_left=state.extra_left - 1)
    if not max_extra_steps and (first := _at_once(items, state.encoded)):
        return [first], replace(state, encoded=state.encoded | {_client(first)}) if first.stage == "text" else state
    batch, order = next_batch(items, state.order)
    credit = state.catch_up_credit
    if not max_extra_steps and credit >= STEPS_PER_CATCH_UP and (behind := _catching_up(items, batch)):
        return behind, replace(state, catch_up_credit=credit - STEPS_PER_CATCH_UP, encoded=frozenset())
    credit = min(credit + 1, MAX_CATCH_UP_STEPS * STEPS_PER_CATCH_UP)
    stage = batch[0].stage if batch else ""
    encoded = state.encoded if stage == "text" else frozenset[Hashable]()
    return batch, SchedulerState(order, state.extra_order, stage, max_extra_steps, credit, encoded)


def _at_once(items: Sequence[JobT], encoded: Collection[Hashable]) -> JobT | None:
    """Work that takes no turn: a picture, of an image that only has to be decoded, or a prompt, whose images can share
    the steps that follow with those under way. In turns, it would come a step or more later, and these would be behind.

    Beyond MAX_BATCHES_AT_ONCE full batches a prompt waits for a turn: its images would wait, too. So does a client's
    second prompt before the next step, and any after as many as these batches have places, so that prompts that are
    cancelled and come again hold up nobody else.
    """
    urgent = _urgent(items)
    if pictures := [item for item in urgent if item.stage == "vqgan"]:
        return min(pictures, key=lambda item: item.rank)
    under_way = [item for item in urgent if item.stage != "text"]
    if under_way:
        places = MAX_BATCHES_AT_ONCE * max(item.max_batch_size for item in under_way)
        if len(under_way) >= places or len(encoded) >= places:
            return None
    prompts = [item for item in urgent if item.stage == "text" and _client(item) not in encoded]
    return min(prompts, key=lambda item: item.rank, default=None)


def _catching_up(items: Sequence[JobT], batch: Sequence[JobT]) -> list[JobT]:
    """A step of the prior in place of `batch`, if that is in the decoder, has room, and there are images that would
    soon join it. Taking turns, they would stay behind for good, and each step of either network would cost a whole one.

    For those behind now, an image waits for no more steps than it has left itself; for later ones as long as there is
    credit.
    """
    if not batch or batch[0].stage != "decoder" or batch[0].live or len(batch) == batch[0].max_batch_size:
        return []
    most = min(MAX_CATCH_UP_STEPS, *(item.steps_left for item in batch))
    behind = [item for item in items if item.stage == "prior" and item.size == batch[0].size and not item.live]
    first = next((item for item in behind if item.steps_left <= most), None)
    return next_batch([item for item in items if item.key == first.key], [first.session])[0] if first else []
