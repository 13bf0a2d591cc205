"""The thread that owns the device: turn after turn until it is told to stop, once over again after a fault.

Does not know requests, or what is done in a turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

CLOSING = "The program is closing; try again when it is back."
DIED = "The engine has stopped through a fault that is in the server's log; try again when it has been restarted."
FAILED = "The device failed while this was drawn; try again in a moment."
NOT_STARTED = "The engine has not been started yet; try again in a moment."


class Owner:
    """Calls `turn` in a thread of its own. It returns how many seconds to wait for `wake` before the next one, None
    for however long it takes.

    When a turn raises, everybody is told at once, through `end` with the reason. Then, the first time, `probe` is
    called: where it raises nothing, turns go on. `refusal` says why nobody is let in meanwhile or from then on, ""
    where they are. It is set before `end` is called, so whoever looks at it under the lock that `end` takes, and then
    comes in, is either refused or ended. Where the thread ends, for whatever reason, `end` has been called with it.
    """

    def __init__(self, turn: Callable[[], float | None], end: Callable[[str], None], probe: Callable[[], None]) -> None:
        self._turn = turn
        self._end = end
        self._probe = probe
        self._work = threading.Event()
        self._thread: threading.Thread | None = None
        self._fresh = True
        self._pause = ""
        self._over = ""  # why, for good; never taken back

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is not None:
            raise RuntimeError("this engine has been started before")
        self._thread = threading.Thread(target=self._own, name="device", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends everything, and the thread as soon as its turn is done."""
        self._finish(CLOSING)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """There is something to do."""
        self._work.set()

    @property
    def refusal(self) -> str:
        return self._over or self._pause

    @property
    def reason(self) -> str:
        """Why nothing is drawn; "" where the thread is there to work."""
        if self._thread is None:
            return self.refusal or NOT_STARTED
        return self.refusal or ("" if self._thread.is_alive() else DIED)

    def _own(self) -> None:
        reason = DIED
        try:
            while not self._over:
                try:
                    self._run()
                except Exception:
                    log.exception("A fault that cannot be one row's: everything that was drawn has ended.")
                    if not self._over and not self._answers():
                        return
            reason = CLOSING
        except BaseException:
            log.exception("The thread that owns the device has died.")
        finally:
            self._finish(reason)

    def _run(self) -> None:
        while True:
            self._work.clear()
            if self._over:  # looked at after clearing: what ends the engine sets both, in this order
                return
            pause = self._turn()
            if pause is None or pause > 0:
                self._work.wait(pause)

    def _answers(self) -> bool:
        """After a fault, which has ended everything: True where it is the first and the device is there again."""
        self._pause = FAILED if self._fresh else DIED
        self._end(self._pause)
        if not self._fresh:
            return False
        self._fresh = False
        try:
            self._probe()
        except Exception:
            log.exception("The device does not answer any more.")
            return False
        log.warning("The device answers again: the engine has started over.")
        self._pause = ""
        return True

    def _finish(self, reason: str) -> None:
        """Refuses everything from now on, and ends what there is. The first reason stays."""
        self._over = self._over or reason
        self._end(self._over)
        self._work.set()
