"""Use of the device: by a worker thread that steps an engine until it is stopped, or by callers in turn."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

CLOSING_MESSAGE = "The program is closing; try again when it is back."
DIED_MESSAGE = "The engine has stopped after an error (see the server's log); try again when it has been restarted."
FAILED_MESSAGE = "The device failed while this was generated; try again in a moment."
NOT_STARTED_MESSAGE = "The engine has not been started yet; try again in a moment."


class FairLock:
    """Lock that is granted in the order of arrival.

    A plain lock can go back to the thread that releases it and asks again at once, which shuts the others out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[object] = []

    @contextmanager
    def acquire(self) -> Iterator[None]:
        me = object()
        with self._changed:
            self._queue.append(me)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._queue[0] is me)
            yield
        finally:
            with self._changed:
                self._queue.remove(me)
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Number of threads that wait for the lock."""
        return max(0, len(self._queue) - 1)


class WorkerThread:
    """Thread that calls `step` until it is stopped. `step` returns the seconds to wait for `wake` before the next call,
    None for any time.

    If `step` raises, `end` is called with a reason for the users. After the first error `health_check` is called, and
    if it does not raise, the thread goes on. When the thread ends, whatever the cause, `end` has been called.

    `rejection` is set before `end` is called: a request that is checked and added under the lock which `end` takes is
    either rejected or ended.
    """

    def __init__(
        self, step: Callable[[], float | None], end: Callable[[str], None], health_check: Callable[[], None]
    ) -> None:
        self._step = step
        self._end = end
        self._health_check = health_check
        self._work = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_failed = False
        self._pause_reason = ""
        self._stop_reason = ""  # final

    def start(self) -> None:
        """Starts the thread. Raises RuntimeError on a second call."""
        if self._thread is not None:
            raise RuntimeError("this engine has been started before")
        self._thread = threading.Thread(target=self._main, name="device", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends all requests, and waits for the thread to finish its step."""
        self._finish(CLOSING_MESSAGE)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """Makes a waiting thread call `step`."""
        self._work.set()

    @property
    def started(self) -> bool:
        return self._thread is not None

    @property
    def rejection(self) -> str:
        """Why new requests are rejected at present; "" if they are not."""
        return self._stop_reason or self._pause_reason

    @property
    def problem(self) -> str:
        """Why nothing is generated; "" if the thread is ready."""
        if self._thread is None:
            return self.rejection or NOT_STARTED_MESSAGE
        return self.rejection or ("" if self._thread.is_alive() else DIED_MESSAGE)

    def _main(self) -> None:
        reason = DIED_MESSAGE
        try:
            while not self._stop_reason:
                try:
                    self._loop()
                except Exception:
                    log.exception("An error that no single image caused: all requests have ended.")
                    if not self._stop_reason and not self._recover():
                        return
            reason = CLOSING_MESSAGE
        except BaseException:
            log.exception("The worker thread has died.")
        finally:
            self._finish(reason)

    def _loop(self) -> None:
        while True:
            self._work.clear()
            if self._stop_reason:  # checked after clearing: `_finish` sets the reason, then the event
                return
            wait_s = self._step()
            if wait_s is None or wait_s > 0:
                self._work.wait(wait_s)

    def _recover(self) -> bool:
        """Ends all requests after an error. Returns True if it is the first one and the device responds."""
        self._pause_reason = DIED_MESSAGE if self._has_failed else FAILED_MESSAGE
        self._end(self._pause_reason)
        if self._has_failed:
            return False
        self._has_failed = True
        try:
            self._health_check()
        except Exception:
            log.exception("The device does not respond any more.")
            return False
        log.warning("The device responds again: the engine has restarted.")
        self._pause_reason = ""
        return True

    def _finish(self, reason: str) -> None:
        """Rejects and ends all requests from now on. The first reason stays."""
        self._stop_reason = self._stop_reason or reason
        self._end(self._stop_reason)
        self._work.set()
