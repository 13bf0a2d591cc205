"""What is measured of the engine: full batches, and previews that are really rendered."""

from __future__ import annotations

from tests.engine.clients import finish, results
from wuerst_demo.benchmarks.engine_overhead import CLIENTS, create_empty_pipeline, time_previews
from wuerst_demo.engine.engine import Engine
from wuerst_demo.events import Progress
from wuerst_demo.request import Limits


def test_every_timed_step_has_the_image_states_of_all_clients():
    pipeline, batch_sizes = create_empty_pipeline()
    engine = Engine(pipeline, max_batch_size=CLIENTS, max_images=CLIENTS)
    request = Limits().request({"seed": 1, "prior_steps": 3, "decoder_steps": 2})
    tickets = [engine.submit(request, f"client {k}") for k in range(CLIENTS)]
    finish(engine)
    assert batch_sizes == [CLIENTS] * 5
    assert all(len(results(ticket)) == 1 for ticket in tickets)


def test_previews_are_timed_and_unchanged(cascade):
    values = {"prompt": "a red cat", "seed": 1, "width": 128, "height": 128, "prior_steps": 2, "decoder_steps": 1}
    request = Limits().request(values)
    list(Engine(cascade).run(request))  # fits the preview map
    timed, calls = time_previews(cascade)
    events = list(Engine(timed).run(request))
    assert any(event.preview for event in events if isinstance(event, Progress))
    assert sum(count for _, count in calls) > 0
    assert sum(seconds for seconds, _ in calls) > 0
