"""Bounds of prompt reading, and that it takes nothing from drawing."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from tests.fakes.server import get, post, run_async, serve_page, wait_until
from tests.fakes.web import fake_context, parse_prompt
from wuerst_demo.errors import UserError
from wuerst_demo.settings import Settings
from wuerst_demo.web.page import MAX_QUEUED_EVENTS
from wuerst_demo.web.shared.prompt_reads import (
    MAX_CONCURRENT_READS_PER_ADDRESS,
    MAX_PENDING_READS,
    MAX_PENDING_READS_PER_ADDRESS,
    PromptReads,
)


@pytest.mark.parametrize(("address", "most"), [("", MAX_PENDING_READS), ("192.0.2.1", MAX_PENDING_READS_PER_ADDRESS)])
def test_a_bounded_number_of_reads_is_pending_and_the_rest_is_rejected(address, most):
    opened = threading.Event()

    async def flood():
        reads = PromptReads()
        pending = [asyncio.create_task(reads.run(address, lambda: opened.wait(240))) for _ in range(most)]
        await asyncio.sleep(0)
        with pytest.raises(UserError, match="Too many prompts"):
            await reads.run(address, bool)
        opened.set()
        assert all(await asyncio.gather(*pending))
        assert await reads.run(address, lambda: "read") == "read"
        assert not reads._pending
        assert not reads._of_address

    run_async(flood())


def test_one_address_leaves_threads_to_others():
    opened = threading.Event()

    async def flood():
        reads = PromptReads()
        greedy = [asyncio.create_task(reads.run("192.0.2.1", lambda: opened.wait(240))) for _ in range(9)]
        await asyncio.sleep(0)
        others = [reads.run(f"192.0.2.{number}", lambda number=number: number) for number in range(2, 8)]
        assert await asyncio.gather(*others) == list(range(2, 8))
        assert not any(each.done() for each in greedy)
        opened.set()
        await asyncio.gather(*greedy)

    run_async(flood())


def test_an_error_of_a_read_ends_it():
    async def fail():
        reads = PromptReads()
        with pytest.raises(ZeroDivisionError):
            await reads.run("192.0.2.1", lambda: 1 // 0)
        assert not reads._pending

    run_async(fail())


def test_drawing_goes_on_while_one_address_floods_the_server_with_prompts():
    opened, reading = threading.Event(), []

    def parse(prompt, weighting):
        if "slow" in prompt:
            reading.append(prompt)
            opened.wait(240)
        return parse_prompt(prompt, weighting)

    context = replace(fake_context(), parse_prompt=parse)
    with serve_page(context, Settings(trusted_proxy=("127.0.0.1",))) as page, ThreadPoolExecutor(32) as pool:
        number = read_event(get(f"{page}config").json())

        def read(address, prompt, client=httpx):
            body = {"data": [prompt, True], "fn_index": number, "session_hash": f"page {address}"}
            headers = {"x-forwarded-for": address}
            return client.post(f"{page}gradio_api/run/predict", json=body, headers=headers, timeout=240)

        flood = [pool.submit(read, "192.0.2.1", "slow") for _ in range(MAX_QUEUED_EVENTS + 20)]
        wait_until(lambda: len(reading) == MAX_CONCURRENT_READS_PER_ADDRESS)
        assert "2 of 77 tokens" in read("192.0.2.2", "").text
        called = post(f"{page}gradio_api/call/v2/generate", json={"prompt": "a cat"}).json()
        assert '"Done"' in get(f"{page}gradio_api/call/generate/{called['event_id']}").text
        assert len(reading) == MAX_CONCURRENT_READS_PER_ADDRESS
        opened.set()
        answers = [each.result().text for each in flood]
    assert any("Too many prompts" in each for each in answers)
    assert sum("3 of 77 tokens" in each for each in answers) >= MAX_PENDING_READS_PER_ADDRESS


def read_event(config):
    """Number of the event that reads the prompt."""
    names = {each["id"]: each["props"].get("elem_id") for each in config["components"]}
    inputs = ["prompt", "weighting"]
    (number,) = [each["id"] for each in config["dependencies"] if [names[k] for k in each["inputs"]] == inputs]
    return number
