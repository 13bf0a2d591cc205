"""Pictures of a checkpoint's example prompts: their files, and their generation while nobody waits."""

from collections import Counter
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.fakes.cascade import FakeCascade, painted
from tests.fakes.server import wait_until
from tests.fakes.web import EXAMPLES, LIMITS, StepGate
from wuerst_demo.checkpoints.capabilities import CheckpointInfo
from wuerst_demo.engine.engine import Engine
from wuerst_demo.errors import QueueFull
from wuerst_demo.web.example_pictures import (
    MAX_FAILURES,
    MAX_SIDE_PX,
    ExamplePictures,
    IdleGenerator,
    encode_picture,
    file_name,
    list_example_requests,
)

INFO = CheckpointInfo("arithmetic", LIMITS, EXAMPLES)
REQUESTS = list_example_requests(INFO)


@pytest.fixture
def pictures(tmp_path):
    return ExamplePictures(tmp_path / "shipped", tmp_path / "cache")


def test_the_first_eight_examples_are_drawn_at_the_defaults_with_seeds_of_their_own():
    info = replace(INFO, examples=tuple(f"cat {k}" for k in range(12)))
    requests = list_example_requests(info)
    assert [each.prompt for each in requests] == [f"cat {k}" for k in range(8)]
    assert len({each.seed for each in requests}) == 8
    assert {replace(each, prompt="", seed=0) for each in requests} == {LIMITS.request({"seed": 0})}


def test_a_picture_is_small_and_comes_back(pictures):
    image = Image.effect_mandelbrot((1024, 512), (-2, -1, 1, 1), 60).convert("RGB")
    assert pictures.read(REQUESTS[0]) is None
    pictures.write(REQUESTS[0], image)
    with Image.open(BytesIO(pictures.read(REQUESTS[0]))) as small:
        assert (small.format, small.size) == ("WEBP", (MAX_SIDE_PX, MAX_SIDE_PX // 2))
        difference = np.asarray(image.resize(small.size), int) - np.asarray(small.convert("RGB"), int)
    assert np.abs(difference).mean() < 5
    assert pictures.read(REQUESTS[1]) is None


def test_a_shipped_picture_is_preferred(pictures):
    pictures.write(REQUESTS[0], Image.new("RGB", (8, 8), "red"))
    pictures.shipped.mkdir()
    (pictures.shipped / file_name(REQUESTS[0])).write_bytes(b"shipped")
    assert pictures.read(REQUESTS[0]) == b"shipped"
    assert ExamplePictures(None, pictures.cache).read(REQUESTS[0])[:4] == b"RIFF"


def test_any_other_setting_is_another_picture():
    others = [
        replace(REQUESTS[0], **{name: value}) for name, value in (("seed", 99), ("prior_steps", 3), ("width", 512))
    ]
    assert len({file_name(each) for each in (REQUESTS[0], *others)}) == 4


def test_missing_pictures_are_generated_while_the_engine_is_idle(pictures):
    pictures.write(REQUESTS[1], Image.new("RGB", (8, 8)))
    kept = pictures.read(REQUESTS[1])
    with Engine(FakeCascade()) as engine:
        idle = IdleGenerator(engine, pictures, REQUESTS, interval_s=0.01)
        idle.start()
        idle.join(60)
        assert not idle.is_alive()
    assert pictures.read(REQUESTS[1]) == kept
    for request in (REQUESTS[0], REQUESTS[2]):
        assert pictures.read(request) == encode_picture(painted(request))


def test_it_gives_way_as_soon_as_somebody_waits(pictures):
    gate = StepGate()
    gate.hold_before = 3
    cascade = FakeCascade(between=gate)
    finished = []

    class Recorded(IdleGenerator):
        def _generate(self, request):
            finished.append(super()._generate(request))
            return finished[-1]

    with Engine(cascade) as engine:
        idle = Recorded(engine, pictures, REQUESTS[:1], interval_s=0.01)
        idle.start()
        wait_until(lambda: gate.steps == 3)  # its picture is being generated
        waiting = engine.submit(LIMITS.request({"prompt": "a guest", "seed": 77, "images": 2}), "guest")
        wait_until(lambda: engine.stage_counts.total() == 2)
        gate.hold_before = 6  # the guest's request has not ended by then
        gate.release()
        wait_until(lambda: finished == [False])
        gate.release()
        list(waiting)
        idle.join(60)
    assert finished[-1] is True
    assert pictures.read(REQUESTS[0]) is not None
    own = [any(seed == REQUESTS[0].seed for seed, _, _ in batch) for batch in cascade.steps]
    guest = [any(seed in (77, 78) for seed, _, _ in batch) for batch in cascade.steps]
    first, last = guest.index(True), len(guest) - 1 - guest[::-1].index(True)
    steps = REQUESTS[0].prior_steps + REQUESTS[0].decoder_steps
    assert sum(own[last + 1 :]) == steps  # from its beginning, once the guest has gone
    assert not all(own[first : last + 1])


class Watched(IdleGenerator):
    """Counts its looks at the engine, and keeps whether its pictures were finished."""

    def __init__(self, engine, pictures):
        super().__init__(engine, pictures, REQUESTS[:1], interval_s=0.001)
        self.looks, self.finished = 0, []

    def _busy(self):
        self.looks += 1
        return super()._busy()

    def _generate(self, request):
        self.finished.append(super()._generate(request))
        return self.finished[-1]


def test_nothing_is_generated_while_somebody_draws_live(pictures):
    cascade = FakeCascade()
    with Engine(cascade) as engine:
        idle = Watched(engine, pictures)
        with idle.pause():
            with idle.pause():
                idle.start()
            wait_until(lambda: idle.looks >= 5)
            assert cascade.steps == []
        idle.join(60)
    assert idle.finished == [True]


def test_a_live_picture_ends_the_one_in_progress(pictures):
    gate = StepGate()
    gate.hold_before = 3
    with Engine(FakeCascade(between=gate)) as engine:
        idle = Watched(engine, pictures)
        idle.start()
        wait_until(lambda: gate.steps == 3)
        with idle.pause():
            gate.release()
            wait_until(lambda: idle.finished == [False])
        idle.join(60)
    assert idle.finished == [False, True]


def test_it_ends_after_a_few_failures(pictures):
    class Full:
        asked = 0

        @property
        def stage_counts(self):
            return Counter()

        def submit(self, request, session, *, live):
            self.asked += 1
            raise QueueFull("The queue is full.")

    engine = Full()
    idle = IdleGenerator(engine, pictures, REQUESTS, interval_s=0.001)
    idle.start()
    idle.join(60)
    assert (idle.is_alive(), engine.asked) == (False, MAX_FAILURES)


def test_it_ends_at_once_without_anything_to_do_and_when_stopped(pictures):
    with Engine(FakeCascade()) as engine:
        waiting = IdleGenerator(engine, pictures, REQUESTS, interval_s=3600)
        waiting.start()
        waiting.stop()
        waiting.join(60)
        nothing = IdleGenerator(engine, pictures, (), interval_s=3600)
        nothing.start()
        nothing.join(60)
        assert (waiting.is_alive(), nothing.is_alive()) == (False, False)


def test_the_cocktail_ships_a_picture_for_each_of_its_examples():
    """After training, `python -m tools.example_pictures` generates them again."""
    from wuerst_demo.checkpoints.resolve import resolve_checkpoint

    checkpoint = resolve_checkpoint(None)
    folder = checkpoint.decoder.weights[0].path.parent.parent / "examples"
    requests = list_example_requests(checkpoint.info)
    assert len(requests) == 8
    assert {file.name for file in folder.iterdir()} == {file_name(each) for each in requests}
    assert sum(file.stat().st_size for file in folder.iterdir()) < 100_000
