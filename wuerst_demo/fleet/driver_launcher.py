"""The launcher of replicas on Ray, as the page's process has it: all that touches Ray is in a process of its own.

That process, see `ray_driver`, ends when the head of the cluster is lost. So do all replicas then; the next one that is
launched starts it again, and with it the Ray of this machine, or joins the cluster again as soon as its head is back.
"""

from __future__ import annotations

import itertools
import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import SimpleQueue

import psutil

from wuerst_demo.errors import SettingsError
from wuerst_demo.fleet.ray_cluster import FleetOptions, LoadReplica, check_installed
from wuerst_demo.fleet.supervisor import ReplicaListener, held_up_s
from wuerst_demo.fleet.wire import ImageJob, ReplicaDescription, Report

log = logging.getLogger(__name__)

DRIVER_MODULE = "wuerst_demo.fleet.ray_driver"
MAX_CONNECT_S = 180.0
"""Longest time in which it starts Ray or joins a cluster, which takes ten seconds on a busy machine."""
MAX_SILENCE_S = 20.0
"""Seconds without news after which the driver is ended: it reports once a second."""
MAX_CLOSE_S = 1.0
"""Longest time for its end."""
RETRY_S = 1.0
"""Seconds after a failed start in which no other replica tries again."""
LOST_REASON = "Ray's head has been lost"
UNREADABLE_REASON = "its reports cannot be read (see the log): install the same version of wuerst_demo there"
UNUSABLE_REASON = "the page could not use its report (see the log)"


def start_driver(options: FleetOptions, configure: Callable[[], None] | None = None) -> DriverLauncher:
    """Starts Ray on this machine, or joins a cluster. `configure` is called in the driver first. Raises SettingsError,
    one line, if that cannot work."""
    check_installed()
    launcher = DriverLauncher(options, configure)
    launcher.driver()
    return launcher


class DriverLauncher:
    """Starts replicas through a driver, and a driver where there is none. `load` is set before the first."""

    def __init__(
        self, options: FleetOptions, configure: Callable[[], None] | None = None, module: str | None = None
    ) -> None:
        """`module` is run as the driver; None for Ray's."""
        self.load: LoadReplica | None = None
        self.max_batch_size = 8
        self._options, self._configure, self._module = options, configure, module
        self._lock = threading.Lock()  # held while a driver starts
        self._driver: Driver | None = None
        self._asked_at: float | None = None  # for `wanted`, which is called every TICK_INTERVAL_S
        self._refused: tuple[float, SettingsError] | None = None

    def wanted(self) -> int:
        """As `RayLauncher.wanted`, as of the last count."""
        driver, now = self._driver, time.monotonic()
        last, self._asked_at = self._asked_at, now
        if driver:  # this process has not read its news while it was held up
            driver.heard_at = min(now, driver.heard_at + held_up_s(last, now))
        if driver and driver.alive and now - driver.heard_at > MAX_SILENCE_S:
            log.error("Ray's driver has not answered for %.0f s, and is started again.", MAX_SILENCE_S)
            driver.kill()
        return self._options.replicas or (driver.wanted if driver else 1)

    def resize(self, replicas: int) -> None:
        """Changes the requested number."""
        self._options = replace(self._options, replicas=replicas)
        if self._driver:
            self._driver.send("resize", replicas)

    def launch(self, name: str, listener: ReplicaListener) -> DriverProcess:
        """Starts an actor. A thread waits for the driver."""
        process = DriverProcess()
        arguments = (process, name, listener)
        threading.Thread(target=self._launch, args=arguments, name=f"replica {name}", daemon=True).start()
        return process

    def driver(self) -> Driver:
        """The one that runs, or a new one. Raises SettingsError."""
        with self._lock:
            if self._driver and self._driver.alive:
                return self._driver
            if self._refused and time.monotonic() - self._refused[0] < RETRY_S:
                raise self._refused[1]
            if self._driver and self._driver.uses_gpus:  # so does the next: they may join later than the head
                self._options = replace(self._options, device="cuda")
            try:
                self._driver = Driver(self._options, self._configure, self._module or DRIVER_MODULE)
            except SettingsError as error:
                self._refused = time.monotonic(), error
                raise
            return self._driver

    def close(self) -> None:
        """Ends the driver, and with it all replicas."""
        if self._driver:
            self._driver.close()

    def _launch(self, process: DriverProcess, name: str, listener: ReplicaListener) -> None:
        try:
            driver = self.driver()
        except SettingsError as error:
            listener.ended(str(error).rstrip("."))
        else:
            process.start(driver, listener, name, self.load, self.max_batch_size)
            if not driver.alive:
                driver.end_all()


class Driver:
    """One driver's process. Every method may be called in any thread, and none but the first waits for it."""

    def __init__(self, options: FleetOptions, configure: Callable[[], None] | None, module: str) -> None:
        """Returns once it is connected. Raises SettingsError."""
        self.alive, self.wanted, self.heard_at = True, options.replicas or 1, time.monotonic()
        self.uses_gpus = False
        self._numbers = itertools.count(1)
        self._listeners: dict[int, ReplicaListener] = {}
        self._commands: SimpleQueue[object] = SimpleQueue()
        command = [sys.executable, "-m", module]
        # In a session of its own, or the terminal would end it before the page.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._connected = threading.Event()
        self._error: SettingsError | None = None
        self._commands.put((options, configure))
        for main in (self._write, self._read):
            threading.Thread(target=main, name="Ray's driver", daemon=True).start()
        if not self._connected.wait(MAX_CONNECT_S):
            self._error = SettingsError(f"Ray has not started in {MAX_CONNECT_S:.0f} s: see the log, and try again.")
            self._kill_all()
        if self._error:
            raise self._error

    def add(self, listener: ReplicaListener) -> int:
        """Returns the number of a new actor, whose news go to `listener`."""
        number = next(self._numbers)
        self._listeners[number] = listener
        return number

    def send(self, *command: object) -> None:
        """Has a command sent; a driver that has ended ignores it."""
        self._commands.put(command)

    def end_all(self) -> None:
        """Tells all listeners that the driver has ended."""
        for number in list(self._listeners):
            self._end(number, LOST_REASON)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        """Ends the process."""
        self._listeners.clear()
        self._commands.put(None)
        try:
            self._process.wait(MAX_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _kill_all(self) -> None:
        """Ends the process and what it has started: no reaper watches over that yet."""
        family: list[psutil.Process] = []
        with suppress(psutil.Error):  # it may have ended meanwhile
            family = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in family:
            with suppress(psutil.Error):
                process.kill()

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:  # it has ended: its reader knows
            while (command := self._commands.get()) is not None:
                pipe.write(pickle.dumps(command))
                pipe.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            with self._process.stdout as pipe, suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    self._handle(*pickle.load(pipe))
        except Exception:
            log.exception("Ray's driver cannot be understood, and is started again.")
        self.alive, self.wanted = False, max(1, self.wanted)  # one starts the next driver
        if not self._connected.is_set():
            self._error = self._error or SettingsError("Ray cannot be started on this machine; see the log.")
            self._connected.set()
        self._commands.put(None)
        self._process.kill()  # it has ended, or is not understood and may hang
        self._process.wait()
        self.end_all()

    def _handle(self, kind: str, *values: object) -> None:
        self.heard_at = time.monotonic()
        match kind, *values:
            case "wanted", int(count):
                self.wanted = count
                self._connected.set()
            case ("gpus",):
                self.uses_gpus = True
            case "refused", SettingsError() as error:
                self._error = error
                self._connected.set()
            case "ended", int(number), str(reason):
                self._end(number, reason)
            case "news", int(number), bytes(content):
                if listener := self._listeners.get(number):
                    self._pass_on(listener, number, content)

    def _pass_on(self, listener: ReplicaListener, number: int, content: bytes) -> None:
        reason = UNREADABLE_REASON
        try:
            news: ReplicaDescription | Report = pickle.loads(content)
            reason = UNUSABLE_REASON
            if isinstance(news, ReplicaDescription):
                listener.ready(news)
            else:
                listener.report(news)
        except Exception:
            log.exception("A replica is ended: %s.", reason)
            self._end(number, reason)  # who is told kills it

    def _end(self, number: int, reason: str) -> None:
        if listener := self._listeners.pop(number, None):
            listener.ended(reason)


class DriverProcess:
    """An actor, from the start of its driver on."""

    def __init__(self) -> None:
        self._driver: Driver | None = None
        self._number = 0
        self._killed = False
        self._lock = threading.Lock()

    def start(self, driver: Driver, listener: ReplicaListener, *launched: object) -> None:
        """Has it launched, unless it was killed before."""
        with self._lock:
            if not self._killed:
                self._driver, self._number = driver, driver.add(listener)
                driver.send("launch", self._number, *launched)

    def submit(self, job: ImageJob) -> None:
        self._send("command", pickle.dumps(job))

    def cancel(self, job_id: int) -> None:
        self._send("command", pickle.dumps(job_id))

    def kill(self) -> None:
        with self._lock:
            self._send("kill")
            self._killed = True

    def _send(self, command: str, *values: object) -> None:
        if self._driver and not self._killed:
            self._driver.send(command, self._number, *values)
