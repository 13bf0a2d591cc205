"""Queue of the images that wait for a replica: sessions take turns over the whole fleet. Not thread-safe."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class TurnQueue(Generic[ItemT]):
    """Items by session. Each `take` goes to the first session in turn whose next item can be dispatched.

    A session's items are taken in the order in which they came. Between two of its turns each other session has one at
    most, a session that has to pass because its next item cannot be dispatched keeps its turn, and a session that
    arrives goes to the end. So with n sessions at most, an item that comes after k others of its session is taken after
    fewer than n * (k + 1) others, not counting what is taken while its own session has to pass; however much the others
    have requested, and however many replicas there are.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, deque[ItemT]] = OrderedDict()  # in the order of turns; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def __iter__(self) -> Iterator[ItemT]:
        """Items in the order of their turns, as if each could be dispatched."""
        rounds = max(map(len, self._sessions.values()), default=0)
        for number in range(rounds):
            yield from (items[number] for items in self._sessions.values() if number < len(items))

    def add(self, session: str, item: ItemT) -> None:
        """Adds an item of a session, after its others."""
        self._sessions.setdefault(session, deque()).append(item)

    def restore(self, session: str, item: ItemT) -> None:
        """Adds an item that was taken before: it is the next of its session, which is the next in turn."""
        self._sessions.setdefault(session, deque()).appendleft(item)
        self._sessions.move_to_end(session, last=False)

    def take(self, can_dispatch: Callable[[ItemT], bool]) -> ItemT | None:
        """Removes and returns the next item that can be dispatched; None if none can."""
        session = next((each for each, items in self._sessions.items() if can_dispatch(items[0])), None)
        if session is None:
            return None
        item = self._sessions[session].popleft()
        self._sessions.move_to_end(session)
        if not self._sessions[session]:
            del self._sessions[session]
        return item

    def discard(self, unwanted: Callable[[ItemT], bool]) -> None:
        """Removes items without using up a turn."""
        for session, items in list(self._sessions.items()):
            kept = deque(item for item in items if not unwanted(item))
            if kept:
                self._sessions[session] = kept
            else:
                del self._sessions[session]
