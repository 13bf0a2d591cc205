"""Queue of the images that wait for a replica: as on one device, network addresses take turns over the whole fleet, and
so do the sessions of an address. Not thread-safe."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
Client = tuple[str, str]
"""An address and "", or "" and a session of unknown address, which counts as one."""


class TurnQueue(Generic[ItemT]):
    """Items by address and session. Each `take` goes to the first address in turn that has an item which can be
    dispatched, and there to the first session in turn whose next item can.

    A session's items are taken in the order in which they came. Between two turns of an address each other one has one
    at most, and so have the sessions of an address among its turns. What has to pass because its next item cannot be
    dispatched keeps its turn, and what arrives goes to the end. So with n addresses at most, and m sessions of its
    address, an item that comes after k others of its session is taken after fewer than n * m * (k + 1) others; however
    much the others have requested, and however many replicas there are. That does not count what is taken while its
    session has to pass, nor the round before its session has to leave its address's turn to another.
    """

    def __init__(self) -> None:
        # Both in the order of turns; none is empty.
        self._clients: OrderedDict[Client, OrderedDict[str, deque[ItemT]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(items) for sessions in self._clients.values() for items in sessions.values())

    def __iter__(self) -> Iterator[ItemT]:
        """Items in the order of their turns, as if each could be dispatched."""
        return _in_turns([list(_in_turns(list(sessions.values()))) for sessions in self._clients.values()])

    def add(self, session: str, item: ItemT, address: str = "") -> None:
        """Adds an item of a session, after its others; `address` is "" where unknown."""
        self._clients.setdefault(_client(session, address), OrderedDict()).setdefault(session, deque()).append(item)

    def restore(self, session: str, item: ItemT, address: str = "") -> None:
        """Adds an item that was taken before: it is the next of its session, which is the next in turn."""
        client = _client(session, address)
        sessions = self._clients.setdefault(client, OrderedDict())
        sessions.setdefault(session, deque()).appendleft(item)
        sessions.move_to_end(session, last=False)
        self._clients.move_to_end(client, last=False)

    def take(self, can_dispatch: Callable[[ItemT], bool]) -> ItemT | None:
        """Removes and returns the next item that can be dispatched; None if none can."""
        for client, sessions in self._clients.items():
            for session, items in sessions.items():
                if can_dispatch(items[0]):
                    item = items.popleft()
                    sessions.move_to_end(session)
                    self._clients.move_to_end(client)
                    self._remove_empty(client, session)
                    return item
        return None

    def discard(self, unwanted: Callable[[ItemT], bool]) -> None:
        """Removes items without using up a turn."""
        for client, sessions in list(self._clients.items()):
            for session, items in list(sessions.items()):
                sessions[session] = deque(item for item in items if not unwanted(item))
                self._remove_empty(client, session)

    def _remove_empty(self, client: Client, session: str) -> None:
        sessions = self._clients[client]
        if not sessions[session]:
            del sessions[session]
        if not sessions:
            del self._clients[client]


def _client(session: str, address: str) -> Client:
    return address, "" if address else session


_NONE = object()


def _in_turns(queues: Sequence[Iterable[ItemT]]) -> Iterator[ItemT]:
    """The first of each, then the second of each, and so on."""
    rounds = zip_longest(*queues, fillvalue=_NONE)
    return (item for item in chain.from_iterable(rounds) if item is not _NONE)  # type: ignore[misc]
