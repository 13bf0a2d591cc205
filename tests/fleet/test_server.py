"""A replica's own side: reports of its engine, with its thread, over a fake cascade."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.engine.clients import eventually, make_request
from tests.fakes.cascade import FakeCascade, painted
from wuerst_demo.errors import PlacementError
from wuerst_demo.fleet import server as server_module
from wuerst_demo.fleet.server import LoadedReplica, ReplicaServer
from wuerst_demo.fleet.wire import ImageJob, ReplicaDescription, unpack_result

DESCRIPTION = ReplicaDescription("cpu", "the CPU", "here", "1")


def server_of(cascade):
    return ReplicaServer(lambda: LoadedReplica(cascade, DESCRIPTION, lambda: {"process": 1.0}))


def reports_until(stream, condition):
    """Reports, as another process gets them, until one fulfils the condition."""
    found = []
    for report in stream:
        found.append(pickle.loads(pickle.dumps(report)))
        if condition(found[-1]):
            return found
    raise AssertionError("the stream has ended")


def test_an_image_is_reported_with_its_steps_times_and_memory():
    server, request = server_of(FakeCascade()), make_request(seed=3)
    with closing(server.reports(0.0)) as stream:
        assert next(stream) == DESCRIPTION
        server.submit(ImageJob(5, request, "someone"))
        reports = reports_until(stream, lambda report: report.finished)
    result = unpack_result(reports[-1].finished[5], 2, request)
    steps = [step for report in reports for step in report.steps]
    assert (result.index, result.request) == (2, request)
    assert result.image.tobytes() == painted(request).tobytes()
    assert [step.stage for step in steps] == ["text", "prior", "prior", "decoder", "vqgan"]
    assert reports[-1].step_seconds.keys() >= {("text", 0, 0), ("vqgan", 1024, 1024)}
    assert reports[-1].memory == {"process": 1.0}
    assert not any(report.problem for report in reports)


def test_a_preview_travels_once():
    server = server_of(FakeCascade())
    server.load()
    server.submit(ImageJob(1, make_request(prior_steps=9), "someone"))
    previews = []
    for _ in range(4):
        server.engine.step()
        previews += [progress.preview for progress in server.collect().progress.values()]
    assert previews == [b"7 prior 1", None, None]


def test_a_cancelled_job_is_reported_as_failed_and_forgotten():
    server = server_of(FakeCascade())
    server.load()
    server.submit(ImageJob(1, make_request(), "someone"))
    server.cancel(1)
    server.cancel(2)
    assert list(server.collect().failed) == [1]
    assert list(server.collect().failed) == []


def loaded(max_batch_size):
    """A server, and the seeds of the images in each step of its cascade."""
    cascade = FakeCascade()
    server = ReplicaServer(lambda: LoadedReplica(cascade, DESCRIPTION), max_batch_size)
    server.load()
    return server, lambda: [sorted(seed for seed, *_ in step) for step in cascade.steps]


def work(server):
    while server.engine.step():
        server.collect()


def test_a_free_place_is_taken_before_the_others_go_on():
    server, seeds = loaded(2)
    for seed, steps in [(1, 3), (2, 9), (3, 5)]:
        server.submit(ImageJob(seed, make_request(seed=seed, prior_steps=steps), f"user {seed}"))
    work(server)
    assert seeds()[:3] == [[1, 2]] * 3
    assert [2, 3] in seeds()
    assert not any({1, 3} <= set(each) for each in seeds())


def test_a_full_batch_that_waits_begins_together_after_the_present_one():
    server, seeds = loaded(3)
    for seed in range(1, 7):
        server.submit(ImageJob(seed, make_request(seed=seed, prior_steps=4 + (seed == 3)), f"user {seed}"))
    work(server)
    assert [each for each in seeds() if max(each) > 3] == [[4, 5, 6]] * 5


def gathering(max_batch_size, monkeypatch):
    """As `loaded`, where a step is known to take so long that only a full batch ends the wait for another image."""
    monkeypatch.setattr(server_module, "MAX_GATHER_S", 1000.0)
    server, seeds = loaded(max_batch_size)
    server._observer.step_s = 1000.0
    return server, seeds


def test_an_idle_replica_waits_for_the_rest_of_a_batch_among_others(monkeypatch):
    server, seeds = gathering(2, monkeypatch)
    with ThreadPoolExecutor(1) as apart:
        server.submit(ImageJob(1, make_request(seed=1), "ann", among_others=True))
        worked = apart.submit(work, server)
        eventually(lambda: server._arrived._waiters)
        server.submit(ImageJob(2, make_request(seed=2), "ben", among_others=True))
        worked.result(60)
    assert seeds() == [[1, 2]] * 3


def test_nobody_waits_for_a_batch_without_others_or_while_there_is_work(monkeypatch):
    server, seeds = gathering(3, monkeypatch)
    monkeypatch.setattr(server._arrived, "wait", lambda seconds: pytest.fail("it waits"))
    server.submit(ImageJob(1, make_request(seed=1), "ann"))
    server.engine.step()
    server.submit(ImageJob(2, make_request(seed=2), "ben", among_others=True))
    work(server)
    assert [1, 2] in seeds()


def test_the_wait_for_a_batch_is_bounded_in_seconds_however_long_a_step_was(monkeypatch):
    server, _ = loaded(3)
    server._observer.step_s, waits = 1000.0, []
    monkeypatch.setattr(server._arrived, "wait", waits.append)
    server.submit(ImageJob(1, make_request(), "ann", among_others=True))
    server.engine.step()
    assert waits
    assert max(waits) <= server_module.MAX_GATHER_S


def test_a_step_of_a_network_is_what_the_wait_is_measured_by():
    server, _ = loaded(8)
    for stage, seconds in (("text", 1.0), ("prior", 2.0), ("vqgan", 3.0)):
        server._observer.stepped(stage, 1, 8, seconds)
    assert server._observer.step_s == 2.0


def test_what_is_left_of_an_image_is_known_without_a_report():
    server, _ = loaded(8)
    server.submit(ImageJob(1, make_request(prior_steps=3, decoder_steps=2), "someone"))
    left = []
    while server.engine.step():
        left += [job.steps_left for job in server._jobs.values()]
    assert left == [math.inf, 4, 3, 2, 1, 0, 0]


def test_a_finished_image_is_reported_before_the_interval_is_over():
    server = server_of(FakeCascade())
    with closing(server.reports(3600.0)) as stream:
        next(stream)
        for job_id in (1, 2):
            server.submit(ImageJob(job_id, make_request(), "someone"))
            reports_until(stream, lambda report, job_id=job_id: job_id in report.finished)


def test_new_previews_and_ends_are_due_at_once_and_other_progress_is_not():
    server, _ = loaded(8)
    server.submit(ImageJob(1, make_request(prior_steps=5), "someone"))
    shown, ended, others = None, False, 0
    while server.engine.step():
        due = server._due.is_set()
        server._due.clear()
        report = server.collect()
        preview = next((each.preview for each in report.progress.values()), None)
        assert due == (bool(report.finished) or preview is not None)
        shown, ended, others = preview or shown, ended or bool(report.finished), others + (not due)
    assert shown
    assert ended
    assert others


def test_a_job_that_waits_for_a_place_can_be_cancelled():
    server, seeds = loaded(1)
    for seed in (1, 2, 3):
        server.submit(ImageJob(seed, make_request(seed=seed), "someone"))
    server.cancel(2)
    assert list(server.collect().failed) == [2]
    work(server)
    assert {seed for step in seeds() for seed in step} == {1, 3}


def test_a_live_picture_takes_no_place():
    server, seeds = loaded(1)
    server.submit(ImageJob(1, make_request(seed=1), "someone", live=True))
    server.submit(ImageJob(2, make_request(seed=2), "another"))
    work(server)
    assert seeds() == [[2]] * 3 + [[1]] * 3


def test_a_job_that_is_rejected_is_reported():
    server = server_of(FakeCascade())
    server.load()
    server.engine.close()
    server.submit(ImageJob(1, make_request(), "someone"))
    report = server.collect()
    assert list(report.failed) == [1]
    assert "closing" in report.problem


def test_errors_of_loading_leave_the_stream():
    def load():
        raise PlacementError("There is no GPU; use --device cpu.")

    with pytest.raises(PlacementError, match="There is no GPU"):
        next(ReplicaServer(load).reports(0.0))
