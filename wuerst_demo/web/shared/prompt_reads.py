"""Prompt reading while users type: beside Gradio's queue, in its own threads, bounded for each client address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from wuerst_demo.errors import UserError

ReadT = TypeVar("ReadT")

MAX_CONCURRENT_READS = 4
"""Prompts parsed at the same time; a long one takes half a second of a core."""
MAX_CONCURRENT_READS_PER_ADDRESS = 2
MAX_PENDING_READS = 64
"""Prompts that wait or are parsed; a page has one at a time."""
MAX_PENDING_READS_PER_ADDRESS = 16
READS_BUSY_MESSAGE = "Too many prompts are being read; this one is read when you change it again."


class PromptReads:
    """Bounds for everything that parses prompts before they are submitted. To be used in one event loop."""

    def __init__(self) -> None:
        self._threads = CapacityLimiter(MAX_CONCURRENT_READS)
        self._of_address: dict[str, CapacityLimiter] = {}
        self._pending: Counter[str] = Counter()

    async def run(self, address: str, read: Callable[[], ReadT]) -> ReadT:
        """The result of `read`, called in a thread. An unknown address, "", has the bounds of all together.

        Raises UserError if too many are pending, and whatever `read` raises.
        """
        most, threads = MAX_PENDING_READS_PER_ADDRESS, MAX_CONCURRENT_READS_PER_ADDRESS
        if not address:
            most, threads = MAX_PENDING_READS, MAX_CONCURRENT_READS
        if self._pending[address] >= most or self._pending.total() >= MAX_PENDING_READS:
            raise UserError(READS_BUSY_MESSAGE)
        turns = self._of_address.setdefault(address, CapacityLimiter(threads))
        self._pending[address] += 1
        try:
            async with turns:
                return await to_thread.run_sync(read, limiter=self._threads)
        finally:
            self._pending[address] -= 1
            if not self._pending[address]:
                del self._pending[address], self._of_address[address]
