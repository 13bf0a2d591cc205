"""The page's side of Ray's driver, over a driver without Ray: what is passed on, and what happens when it ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import SimpleNamespace

import psutil
import pytest

from tests.engine.clients import eventually
from wuerst_demo.errors import SettingsError
from wuerst_demo.fleet import driver_launcher, ray_driver
from wuerst_demo.fleet.driver_launcher import (
    LOST_REASON,
    MAX_SILENCE_S,
    UNREADABLE_REASON,
    UNUSABLE_REASON,
    DriverLauncher,
    DriverProcess,
    start_driver,
)
from wuerst_demo.fleet.ray_cluster import FleetOptions
from wuerst_demo.fleet.supervisor import TICK_INTERVAL_S


class Listener:
    def __init__(self):
        self.news = SimpleQueue()

    def ready(self, description):
        self.news.put(description.reason)

    def report(self, report):
        self.news.put(report.problem)

    def ended(self, reason):
        self.news.put(reason)

    def next(self):
        return self.news.get(timeout=60)


@pytest.fixture(autouse=True)
def driver_without_ray(monkeypatch):
    monkeypatch.setattr(driver_launcher, "DRIVER_MODULE", "tests.fakes.ray_driver")
    monkeypatch.setattr(driver_launcher, "check_installed", lambda: None)


@pytest.fixture
def launcher():
    launcher = start_driver(FleetOptions(None))
    launcher.load = "a checkpoint"
    yield launcher
    launcher.close()


def test_news_and_commands_are_passed_on(launcher):
    listeners = [Listener(), Listener()]
    processes = [launcher.launch(str(k), each) for k, each in enumerate(listeners)]
    assert [each.next() for each in listeners] == ["0 a checkpoint 8", "1 a checkpoint 8"]
    processes[1].submit("a job")
    assert listeners[1].next() == "a job"
    processes[0].kill()
    processes[0].submit("too late")
    assert listeners[0].next() == "killed"
    assert listeners[0].news.empty()


def test_a_replica_that_was_killed_before_its_launch_is_not_started(launcher):
    killed, process, other = Listener(), DriverProcess(), Listener()
    process.kill()
    process.start(launcher.driver(), killed, "1", launcher.load, 8)
    launcher.launch("2", other)
    assert other.next() == "2 a checkpoint 8"  # the driver obeys in the order of its commands
    assert killed.news.empty()


class KillingListener(Listener):
    """Kills a process that has ended, as the supervisor does; on demand it raises an exception instead."""

    process, fatal = None, False

    def report(self, report):
        if report.problem in ("unexpected", "fatal"):
            self.fatal = report.problem == "fatal"
            raise LookupError(report.problem)
        super().report(report)

    def ended(self, reason):
        if self.fatal:
            raise LookupError(reason)
        self.process.kill()
        super().ended(reason)


def launch_two(launcher):
    listeners = [KillingListener(), KillingListener()]
    for each in listeners:
        each.process = launcher.launch("1", each)
        each.next()
    return listeners


@pytest.mark.parametrize(("job", "reason"), [("garble", UNREADABLE_REASON), ("unexpected", UNUSABLE_REASON)])
def test_a_replica_that_cannot_be_understood_is_ended_alone(launcher, job, reason, caplog):
    one, other = launch_two(launcher)
    one.process.submit(job)
    assert one.next() == reason
    assert [record.message for record in caplog.records if record.exc_info] == [f"A replica is ended: {reason}."]
    other.process.submit("a job")
    assert other.next() == "a job"


def test_a_driver_whose_news_cannot_be_handled_is_started_again(launcher, caplog):
    one, other = launch_two(launcher)
    lost = launcher.driver()
    one.process.submit("fatal")
    assert other.next() == LOST_REASON
    assert not lost.alive
    assert "Ray's driver cannot be understood, and is started again." in caplog.messages
    again = Listener()
    launcher.launch("1", again)
    assert again.next() == "1 a checkpoint 8"


@pytest.mark.parametrize("news", ["fatal", "mute"])
def test_a_driver_that_is_not_understood_is_ended_even_if_it_hangs(launcher, news):
    one, other = launch_two(launcher)
    lost = launcher.driver()
    one.process.submit(news)
    one.process.submit("hang")
    assert other.next() == LOST_REASON
    assert lost._process.poll() is not None


def test_commands_for_a_replica_that_was_killed_are_ignored_by_the_driver():
    done = []
    process = SimpleNamespace(send=done.append, kill=lambda: done.append("killed"))
    processes = {7: process}
    for command in (("command", 7, b"a job"), ("kill", 7), ("command", 7, b"another"), ("kill", 7)):
        ray_driver._follow(None, processes, None, *command)
    assert done == [b"a job", "killed"]


def test_replicas_are_counted_by_the_driver_unless_a_number_is_requested(launcher):
    assert launcher.wanted() == 3
    launcher.resize(5)
    assert launcher.wanted() == 5


@pytest.mark.parametrize(
    ("trouble", "line"), [("refuse", "There is no Ray"), ("crash", "Ray cannot be started on this machine")]
)
def test_a_driver_that_cannot_connect_is_one_line(trouble, line):
    launcher = DriverLauncher(FleetOptions(2), trouble)
    with pytest.raises(SettingsError, match=line):
        launcher.driver()
    listener = Listener()
    launcher.launch("1", listener)
    assert line in listener.next()


def test_a_driver_that_hangs_as_it_connects_is_killed_with_all_that_it_has_started(monkeypatch):
    monkeypatch.setattr(driver_launcher, "MAX_CONNECT_S", 4.0)
    page, launcher = psutil.Process(), DriverLauncher(FleetOptions(2), "hang")
    before = {*page.children(recursive=True)}
    with ThreadPoolExecutor(1) as apart:
        starting = apart.submit(launcher.driver)
        eventually(lambda: len({*page.children(recursive=True)} - before) == 2)
        started = {*page.children(recursive=True)} - before
        with pytest.raises(SettingsError, match="Ray has not started in 4 s: see the log, and try again"):
            starting.result()
    eventually(lambda: not any(process.is_running() for process in started))


def test_all_replicas_end_with_their_driver_and_the_next_starts_another(launcher):
    listeners = [Listener(), Listener()]
    for each in listeners:
        launcher.launch("1", each)
        each.next()
    lost = launcher.driver()
    lost.kill()
    assert [each.next() for each in listeners] == [LOST_REASON] * 2
    again = Listener()
    launcher.launch("1", again)
    assert again.next() == "1 a checkpoint 8"
    assert launcher.driver() is not lost


def test_a_driver_that_has_used_gpus_is_followed_by_one_that_waits_for_them():
    launcher = DriverLauncher(FleetOptions(None), "gpus")
    given = []
    for _ in range(2):
        driver = launcher.driver()
        given.append(launcher._options.device)
        eventually(lambda driver=driver: driver.uses_gpus)
        driver.kill()
        eventually(lambda driver=driver: not driver.alive)
    assert given == ["auto", "cuda"]


def test_a_driver_without_a_sign_of_life_is_killed(launcher, monkeypatch, caplog):
    listener = Listener()
    launcher.launch("1", listener)
    listener.next()
    assert launcher.wanted() == 3
    monkeypatch.setattr(driver_launcher, "MAX_SILENCE_S", 0.0)
    launcher.wanted()
    assert listener.next() == LOST_REASON
    assert "has not answered" in caplog.text


def test_a_driver_is_not_silent_while_the_page_itself_is_stopped(launcher, monkeypatch):
    driver, now = launcher.driver(), driver_launcher.time.monotonic()
    monkeypatch.setattr(driver, "kill", lambda: killed.append(now))
    monkeypatch.setattr(driver_launcher, "time", SimpleNamespace(monotonic=lambda: now))
    killed, driver.heard_at, stopped_at = [], now, now
    launcher.wanted()
    now += 600
    launcher.wanted()
    assert not killed
    while not killed:
        now += TICK_INTERVAL_S
        launcher.wanted()
    assert killed[0] - stopped_at - 600 == pytest.approx(MAX_SILENCE_S, abs=1)


def test_a_closed_launcher_ends_its_driver_without_a_word(launcher):
    listener = Listener()
    launcher.launch("1", listener)
    listener.next()
    driver = launcher.driver()
    launcher.close()
    eventually(lambda: not driver.alive)
    assert listener.news.empty()
