"""A storm on a real server: hostile requests from a few addresses, and visitors from others, who are all served.

The addresses are those that a trusted proxy would forward. `pytest -s` prints how fast `/healthz` answered meanwhile.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.browser import start_app
from tests.fakes.server import wait_until
from tests.web.middleware.test_call_check import CALLS, hostile
from tests.web.shared.test_prompt_reads import read_event
from wuerst_demo.images.metadata import read_image_settings

pytestmark = pytest.mark.slow

GREEDY = "192.0.2.1"
SESSIONS = 8
READERS = 6
VISITORS = 12
STEPS = {"prior_steps": 2, "decoder_steps": 1}
LONG_PROMPT = "(a red fox)1.3 and (a blue door)0.7 " * 50


class Storm:
    """Attackers and visitors of one server. Its attacks end when `calm` is set."""

    def __init__(self, address):
        self.api = f"{address}gradio_api"
        self.address = address
        self.calm = Event()
        self.refusals = set()
        self.read_number = read_event(httpx.get(f"{address}config", timeout=60).json())

    def client(self, address):
        return httpx.Client(headers={"x-forwarded-for": address}, timeout=300)

    def generate(self, client, **values):
        """The last event of a call and its data; None and the reason where it was not admitted."""
        call = client.post(f"{self.api}/call/v2/generate", json={**STEPS, **values})
        if call.status_code != 200:
            return None, call.text
        told = client.get(f"{self.api}/call/generate/{call.json()['event_id']}").text
        event, data = told.strip().rsplit("event: ", 1)[1].split("\ndata: ", 1)
        return event, json.loads(data)

    def read_prompt(self, client, prompt):
        body = {"data": [prompt, True], "fn_index": self.read_number, "session_hash": "page"}
        return client.post(f"{self.api}/run/predict", json=body)

    def fill_queue(self):
        """Eight pictures at a time, without end."""
        with self.client(GREEDY) as client:
            while not self.calm.is_set():
                event, data = self.generate(client, prompt="a cat", images=8)
                if event != "complete":
                    self.refusals.add(str(data))

    def read_without_end(self):
        with self.client(GREEDY) as client:
            while not self.calm.is_set():
                self.read_prompt(client, LONG_PROMPT)

    def send_nonsense(self, seed):
        rng = random.Random(seed)
        with self.client("192.0.2.2") as client:
            while not self.calm.is_set():
                path, body, *_ = rng.choice(CALLS)
                content = body.encode("latin-1") if isinstance(body, str) else json.dumps(body).encode()
                assert client.post(f"{self.api}/{path}", content=content).status_code in (404, 422, 429)
                for route in ("call/generate", "run/predict", "queue/join", "cancel"):
                    content = json.dumps({"data": hostile(rng), "fn_index": rng.randrange(60), "session_hash": "x"})
                    assert client.post(f"{self.api}/{route}", content=content).status_code != 500
                client.post(f"{self.api}/upload", files={"files": ("a.png", rng.randbytes(100_000))})
                client.get(f"{self.address}config", headers={"origin": "http://evil.example"})
                client.get(f"{self.api}/file=/etc/passwd")

    def hold_connections(self):
        """Requests that never come, and event streams that nobody reads."""
        host = urlsplit(self.address)
        lines = [f"GET /gradio_api/heartbeat/a HTTP/1.1\r\nHost: {host.netloc}\r\nX-Forwarded-For: 192.0.2.3\r\n\r\n"]
        held = []
        while not self.calm.wait(0.01):
            with suppress(OSError):
                held.append(socket.create_connection((host.hostname, host.port), timeout=60))
                held[-1].sendall(random.choice([*lines, "GET / HT", ""]).encode())
            for each in held[:-200]:
                each.close()
            del held[:-200]
        for each in held:
            each.close()

    def visit(self, number):
        """What a visitor does: open the page, type a prompt, generate, and load the picture."""
        with self.client(f"198.51.100.{number}") as client:
            for path in ("", "config", "gradio_api/info"):
                assert client.get(self.address + path).status_code == 200
            assert "tokens" in self.read_prompt(client, "a red apple").text
            event, data = self.generate(client, prompt="a red apple", seed=number)
            assert event == "complete", data
            (picture,), (request,), progress = data
            assert (progress, request["seed"]) == ("Done", number)
            return client.get(picture["url"]).content


def watch_health(address, calm, answers):
    """Seconds of each answer of `/healthz`, with its status; in a process of its own, since this one is busy."""
    with httpx.Client(timeout=60) as client:
        while not calm.is_set():
            begin = time.perf_counter()
            status = client.get(f"{address}healthz").status_code
            answers.put((status, time.perf_counter() - begin))
            time.sleep(0.02)


@contextmanager
def watched_health(address):
    """A function that gives the answers of `/healthz` since it was called last."""
    spawn = multiprocessing.get_context("spawn")
    calm, answers = spawn.Event(), spawn.Queue()
    process = spawn.Process(target=watch_health, args=(address, calm, answers))
    process.start()

    def newest():
        return [answers.get(timeout=60), *(answers.get() for _ in range(answers.qsize()))]

    try:
        newest()
        yield newest
    finally:
        calm.set()
        while process.is_alive():  # it does not end with answers that nobody has taken
            with suppress(queue.Empty):
                answers.get(timeout=0.05)
        process.join()


def test_every_visitor_is_served_in_a_storm_and_the_health_route_answers(tmp_path):
    with (
        start_app("--trusted-proxy", "127.0.0.1") as address,
        watched_health(address) as newest_answers,
        ThreadPoolExecutor(40) as pool,
    ):
        storm = Storm(address)
        attacks = [storm.fill_queue] * SESSIONS + [storm.read_without_end] * READERS
        attacks += [lambda: storm.send_nonsense(0), lambda: storm.send_nonsense(1), storm.hold_connections]
        running = [pool.submit(each) for each in attacks]
        try:
            wait_until(lambda: storm.refusals or any(each.done() for each in running))
            newest_answers()
            visits = [pool.submit(storm.visit, number) for number in range(VISITORS)]
            pictures = [each.result() for each in visits]
            health = newest_answers()
        finally:
            storm.calm.set()
        for each in running:
            each.result()
    for number, png in enumerate(pictures):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png)
        assert read_image_settings(path).values["seed"] == number
    assert all("Your network has its share" in each for each in storm.refusals), storm.refusals
    assert {status for status, _ in health} == {200}
    times_s = sorted(seconds for _, seconds in health)
    print(f"\n/healthz: {len(health)} answers in the storm, half within {times_s[len(health) // 2]:.3f} s,", end=" ")
    print(f"the slowest in {times_s[-1]:.3f} s")
