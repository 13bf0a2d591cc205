"""Progress in a terminal, and where there is none."""

import io

from PIL import Image

from wuerst_demo.events import Done, Progress, Queued, Result
from wuerst_demo.request import Limits
from wuerst_demo.terminal import PAUSE, Line, watched

REQUEST = Limits().request({"prompt": "secret", "seed": 1, "images": 2, "prior_steps": 3, "decoder_steps": 2})


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def seen(self):
        """What stands on the screen: a line that was rewritten shows its last state."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def events():
    yield Queued(2)
    for image in range(2):
        for stage, of in (("prior", 3), ("decoder", 2), ("vqgan", 1)):
            for step in range(of):
                yield Progress(image, stage, step + 1, of)
        yield Result(image, Image.new("RGB", (1, 1)), REQUEST.image(image))
    yield Done(3.21)


def test_the_results_come_through_in_order():
    assert [result.image for result in watched(events(), REQUEST, Line(io.StringIO()))] == [0, 1]


def test_a_terminal_shows_stage_step_and_share_on_one_line():
    terminal = Terminal()
    states = [(result.image, terminal.seen()) for result in watched(events(), REQUEST, Line(terminal))]
    assert states == [
        (0, ["Picture 1 of 2: vqgan, step 1 of 1 (50 %)"]),
        (1, ["Picture 2 of 2: vqgan, step 1 of 1 (100 %)"]),
    ]
    assert terminal.seen() == ["2 pictures in 3.2 s", ""]
    assert "Waiting, number 2" in terminal.getvalue()


def test_one_picture_is_not_counted():
    terminal = Terminal()
    list(watched(iter([Progress(0, "prior", 1, 3)]), REQUEST.image(0), Line(terminal)))
    assert terminal.seen() == ["prior, step 1 of 3 (16 %)"]


def test_without_a_terminal_nothing_is_said_before_there_is_something_to_say():
    stream = io.StringIO()
    line = Line(stream, Clock())
    line.announce("Runs here.")
    list(watched(iter([*events()][:-1]), REQUEST, line))
    line.clear()
    assert stream.getvalue() == ""
    line.say("Done.")
    assert stream.getvalue() == "Runs here.\nDone.\n"


def test_without_a_terminal_a_long_run_says_a_line_now_and_then():
    stream, clock = io.StringIO(), Clock()
    line = Line(stream, clock)
    line.wait("Loading")
    line.announce("Runs here.")
    for second in range(100):
        clock.now = second
        line.show(f"step {second}")
    assert stream.getvalue().splitlines() == ["Runs here."] + [f"step {int(PAUSE) * k}" for k in (1, 2, 3)]


def test_on_a_terminal_an_announcement_stays():
    terminal = Terminal()
    line = Line(terminal)
    line.wait("Loading")
    assert terminal.seen() == ["Loading"]
    line.announce("Runs here.")
    line.show("step")
    line.clear()
    assert terminal.seen() == ["Runs here.", ""]


def test_no_control_character_leaves_a_file():
    stream = io.StringIO()
    for _ in watched(events(), REQUEST, Line(stream)):
        pass
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
