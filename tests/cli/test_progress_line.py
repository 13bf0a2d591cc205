"""Progress on a terminal and elsewhere."""

import io

from PIL import Image

from wuerst_demo.cli.progress_line import PLAIN_LINE_INTERVAL_S, ProgressLine, show_progress
from wuerst_demo.events import Done, Progress, Queued, Result
from wuerst_demo.request import Limits

REQUEST = Limits().request({"prompt": "secret", "seed": 1, "images": 2, "prior_steps": 3, "decoder_steps": 2})


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def seen(self):
        """The lines on the screen: a rewritten one in its last state."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


class Clock:
    now = 1000.0

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


def test_results_are_passed_on_in_order():
    assert [result.index for result in show_progress(events(), REQUEST, ProgressLine(io.StringIO()))] == [0, 1]


def test_terminal_shows_stage_step_and_percentage_on_one_line():
    terminal = Terminal()
    states = [(result.index, terminal.seen()) for result in show_progress(events(), REQUEST, ProgressLine(terminal))]
    assert states == [
        (0, ["Picture 1 of 2: vqgan, step 1 of 1 (50 %)"]),
        (1, ["Picture 2 of 2: vqgan, step 1 of 1 (100 %)"]),
    ]
    assert terminal.seen() == ["2 pictures in 3.2 s", ""]
    assert "Waiting, position 2" in terminal.getvalue()


def test_single_image_has_no_number():
    terminal = Terminal()
    list(show_progress(iter([Progress(0, "prior", 1, 3)]), REQUEST.image(0), ProgressLine(terminal)))
    assert terminal.seen() == ["prior, step 1 of 3 (16 %)"]


def test_announcement_waits_for_the_next_line_outside_a_terminal():
    stream = io.StringIO()
    line = ProgressLine(stream, Clock())
    line.announce("Runs here.")
    list(show_progress(iter([*events()][:-1]), REQUEST, line))
    line.clear()
    assert stream.getvalue() == ""
    line.write("Done.")
    assert stream.getvalue() == "Runs here.\nDone.\n"


def test_long_run_outside_a_terminal_prints_a_line_per_interval():
    stream, clock = io.StringIO(), Clock()
    line = ProgressLine(stream, clock)
    line.show_on_terminal("Loading")
    line.announce("Runs here.")
    for second in range(100):
        clock.now = 1000.0 + second
        line.show(f"step {second}")
    assert stream.getvalue().splitlines() == ["Runs here."] + [
        f"step {int(PLAIN_LINE_INTERVAL_S) * k}" for k in (1, 2, 3)
    ]


def test_announcement_stays_on_a_terminal():
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show_on_terminal("Loading")
    assert terminal.seen() == ["Loading"]
    line.announce("Runs here.")
    line.show("step")
    line.clear()
    assert terminal.seen() == ["Runs here.", ""]


def test_a_cleared_line_is_cleared_once():
    terminal = Terminal()
    line = ProgressLine(terminal)
    line.show("step")
    line.clear()
    cleared = terminal.getvalue()
    line.clear()
    assert terminal.getvalue() == cleared


def test_no_control_character_is_written_to_a_file():
    stream = io.StringIO()
    for _ in show_progress(events(), REQUEST, ProgressLine(stream)):
        pass
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
