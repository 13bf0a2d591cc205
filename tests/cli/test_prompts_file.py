"""`wuerst generate --from FILE`: what is generated, what is kept, and the one line for every mistake in a file."""

import io
import os
import sys
from pathlib import Path

import pytest

from tests.fakes.cascade import FakeCascade
from wuerst_demo.cli.progress_line import ProgressLine
from wuerst_demo.cli.prompts_file import MAX_FILE_BYTES, LineImage, show_images_progress
from wuerst_demo.errors import UserError
from wuerst_demo.events import Done, Progress, Result
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.request import Limits

FILE = """\
# animals
a cat --seed 7

a dog --negative-prompt red, green --images 2 --seed=9
a bird --width 512 --no-weighting
"""


@pytest.fixture
def from_file(run_cli, tmp_path):
    """Runs `generate --from` on a text or bytes: as `run_cli`."""

    def run(content, *options, **more):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "prompts.txt").write_bytes(data)
        return run_cli("generate", "--from", "prompts.txt", *options, **more)

    return run


def names(out):
    return [Path(line).name for line in out]


def test_every_line_is_generated_with_its_own_settings(from_file, tmp_path):
    code, out, err, requests = from_file(FILE, "--decoder-steps", "3")
    assert code == 0
    bird = requests[3]
    assert names(out) == [
        "0002-1-seed7.png",
        "0004-1-seed9.png",
        "0004-2-seed10.png",
        f"0005-1-seed{bird.seed}.png",
    ]
    shared = {"decoder_steps": 3}
    assert requests == [
        Limits().request({"prompt": "a cat", "seed": 7, **shared}),
        Limits().request({"prompt": "a dog", "negative_prompt": "red, green", "seed": 9, **shared}),
        Limits().request({"prompt": "a dog", "negative_prompt": "red, green", "seed": 10, **shared}),
        Limits().request({"prompt": "a bird", "width": 512, "weighting": False, "seed": bird.seed, **shared}),
    ]
    assert [Limits().request(read_image_settings(tmp_path / line).values) for line in out] == requests
    assert err[-1].startswith("4 pictures in ")


def test_pictures_of_different_lines_share_forward_passes(from_file):
    cascade = FakeCascade()
    lines = "".join(f"animal {k} --seed {100 * k}\n" for k in range(20))
    code, out, _, requests = from_file(lines, cascade=cascade)
    assert (code, len(out)) == (0, 20)
    steps = requests[0].prior_steps + requests[0].decoder_steps
    assert len(cascade.steps) == 3 * steps  # batches of 8, 8 and 4
    assert out == sorted(out)


def test_a_second_run_generates_only_what_is_missing(from_file, tmp_path):
    _, first, _, _ = from_file(FILE)
    code, out, err, requests = from_file(FILE)
    assert (code, out, requests, err[-1]) == (0, [], [], "4 pictures are in outputs already.")
    (tmp_path / first[2]).unlink()
    code, out, err, requests = from_file("a fish --seed 1\n" + FILE)
    assert [(each.prompt, each.seed) for each in requests] == [("a fish", 1), ("a dog", 10)]
    assert names(out) == ["0001-1-seed1.png", "0005-2-seed10.png"]
    assert "3 pictures are in outputs already." in err


def test_a_line_that_has_changed_is_generated_again(from_file):
    from_file("a cat --seed 7\n")
    for changed in ("a cat --seed 8\n", "a black cat --seed 7\n", "a cat --seed 7 --prior-steps 5\n"):
        assert len(from_file(changed)[3]) == 1


def test_a_repeated_line_without_a_seed_is_a_picture_each(from_file):
    assert len(from_file("a cat\na cat\n")[1]) == 2
    assert len(from_file("a cat\na cat\na cat\n")[1]) == 1


def test_a_picture_of_another_checkpoint_is_not_kept(from_file, tmp_path):
    (kept,) = from_file("a cat --seed 7\n")[1]
    data = (tmp_path / kept).read_bytes()
    assert data.count(b'"checkpoint": "wuerstchen"') == 1
    from wuerst_demo.images.files import save_image

    settings = read_image_settings(tmp_path / kept)
    request = Limits().request(settings.values)
    from PIL import Image

    (tmp_path / kept).unlink()
    save_image(Result(0, Image.new("RGB", (1, 1)), request), tmp_path / "outputs", "another", stem="0001-1-seed7")
    assert names(from_file("a cat --seed 7\n")[1]) == ["0001-1-seed7-2.png"]


def test_an_interrupted_run_goes_on_where_it_stopped(from_file, tmp_path):
    lines = "".join(f"animal {k} --seed {k}\n" for k in range(1, 13))

    def stop():
        if len(list(tmp_path.glob("outputs/*.png"))) >= 3:
            raise KeyboardInterrupt

    code, out, err, _ = from_file(lines, cascade=FakeCascade(between=stop))
    assert (code, err[-1]) == (130, "Stopped.")
    written = sorted(path.name for path in tmp_path.glob("outputs/*.png"))
    assert names(out) == written
    assert 0 < len(written) < 12
    code, more, _, _ = from_file(lines)
    assert code == 0
    assert len(written) + len(more) == len(list(tmp_path.glob("outputs/*.png"))) == 12


def test_standard_input_is_read_for_a_hyphen(run_cli, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a cat --seed 7\n")))
    assert names(run_cli("generate", "--from", "-")[1]) == ["0001-1-seed7.png"]


@pytest.mark.parametrize("encoded", ["a r\u00f6d cat\n".encode("utf-8-sig"), "a r\u00f6d cat\r\n".encode()])
def test_byte_order_mark_and_windows_line_ends_are_no_part_of_a_prompt(from_file, encoded):
    assert [each.prompt for each in from_file(encoded)[3]] == ["a r\u00f6d cat"]


SEVEN = "a cat\n" * 6
MISTAKES = {
    "width off the grid": (SEVEN + "a dog --width 300\n", "Line 7: Width is 300, which is not a multiple of 128; "),
    "unknown option": (SEVEN + "a dog --witdh 512\n", "Line 7: There is no option --witdh; did you mean --width? "),
    "no value": (
        SEVEN + "a dog --seed\n",
        "Line 7: --seed needs a value, such as --seed 7. Correct",
    ),
    "value of a switch": (SEVEN + "a dog --no-weighting 1\n", "Line 7: --no-weighting takes no value"),
    "brackets": (SEVEN + '("a", "b").blend(1)\n', "Line 7: "),
    "two mistakes": ("a cat --seed x\na dog --width 1\na\n", "Line 1: Seed must be a whole number from 0 to 42"),
    "UTF-16": ("a cat\n".encode("utf-16"), "prompts.txt is UTF-16 text or no text: save it as UTF-8."),
    "UTF-16 without its mark": ("a cat\n".encode("utf-16-le"), "prompts.txt is UTF-16 text or no text: save it as"),
    "Latin-1": (
        "a cat\na r\u00f6d cat\n".encode("latin-1"),
        "prompts.txt is not UTF-8 text (line 2): save",
    ),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "prompts.txt is UTF-16 text or no text: save it as UTF-8."),
    "nothing": (b"", "prompts.txt has no prompts: write one a line; "),
    "comments alone": ("# a cat\n\n", "prompts.txt has no prompts: write one a line; "),
    "many lines": ("a\n" * 10_000, "prompts.txt has more than 9,999 lines: split it into several files."),
    "a long prompt": ("a" * 2001, "Line 1: Prompt is 2,001 characters long; shorten it to at most 2,000."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_file_is_one_line_and_generates_nothing(from_file, tmp_path, name):
    content, said = MISTAKES[name]
    code, out, err, requests = from_file(content)
    assert (code, out, requests, len(err)) == (2, [], [], 1)
    assert err[0].startswith(said)
    assert len(err[0]) < 300
    assert not (tmp_path / "outputs").exists()


def test_a_file_of_a_gigabyte_is_rejected_without_reading_it(run_cli, tmp_path, monkeypatch):
    with open(tmp_path / "huge.txt", "wb") as file:
        os.truncate(file.fileno(), 2**30)  # a hole: it takes no space
    sizes = []

    class Counting(io.FileIO):
        def read(self, size=-1):
            sizes.append(size)
            return super().read(size)

    monkeypatch.setattr("builtins.open", lambda name, mode="r", *_, **__: Counting(name, mode))
    code, out, err, _ = run_cli("generate", "--from", "huge.txt")
    assert (code, out, err) == (2, [], ["huge.txt is larger than 4 MiB: split it into several files."])
    assert sizes == [MAX_FILE_BYTES + 1]


def test_a_file_that_cannot_be_read_is_one_line(run_cli, tmp_path):
    for name, reason in (
        (".", "Is a directory"),
        ("nowhere.txt", "No such file"),
        ("a\0b", "no such name is possible"),
    ):
        code, out, err, _ = run_cli("generate", "--from", name)
        assert (code, out, len(err)) == (2, [], 1)
        assert reason in err[0]
    assert "leave the prompt out" in run_cli("generate", "a cat", "--from", "x.txt")[2][0]


def test_the_other_lines_go_on_if_asked(from_file):
    content = "a cat --seed 1\na dog --width 300\na bird --seed 3\na fish --zoom 3\n"
    code, out, err, _ = from_file(content, "--keep-going")
    assert (code, names(out)) == (2, ["0001-1-seed1.png", "0003-1-seed3.png"])
    assert err[0].startswith("Line 2: Width is 300")
    assert err[1] == "Line 4: There is no option --zoom for a prompt; leave it out."
    assert err[-1] == "2 lines were left out: correct what is wrong and run the same command again."


def test_a_file_of_mistakes_alone_is_one_line_in_any_case(from_file):
    code, out, err, _ = from_file("a dog --width 300\na dog --width 301\n", "--keep-going")
    assert (code, out, len(err)) == (2, [], 1)
    assert "another of its lines has a mistake" in err[0]


def test_a_picture_that_fails_names_its_line(from_file):
    content = "a cat --seed 1\n# a comment\na dog --seed 2\na bird --seed 3\n"
    code, out, err, _ = from_file(content, cascade=FakeCascade(failing_pictures=[2]))
    assert (code, names(out)) == (2, ["0001-1-seed1.png"])
    assert err[-1] == "Line 3: This picture has failed; try another seed."
    code, out, err, _ = from_file(content, "--keep-going", cascade=FakeCascade(failing_pictures=[2]))
    assert (code, names(out)) == (2, ["0004-1-seed3.png"])
    assert "Line 3: This picture has failed; try another seed." in err
    assert err[-1] == "1 of 2 pictures failed; run the same command again for them."


def test_no_prompt_is_printed(from_file):
    _, out, err, _ = from_file("mysecret cat\nmysecret dog --width 3\n", "--keep-going")
    assert "mysecret" not in "".join(out + err)


def test_progress_names_line_stage_and_share():
    request = Limits().request({"seed": 1, "prior_steps": 3, "decoder_steps": 2})
    images = [LineImage(3, 1, request), LineImage(7, 1, request)]

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def events():
        yield 0, Progress(0, "prior", 3, 3)
        yield 0, UserError("No; do that.")
        yield 1, Progress(0, "decoder", 1, 2)
        yield 1, Result(0, None, request)
        yield 1, Done(1.0)

    screen, clock = Terminal(), iter([10.0, 12.5])
    outcomes = list(show_images_progress(events(), images, ProgressLine(screen), lambda: next(clock)))
    assert [image.line for image, _ in outcomes] == [3, 7]
    assert "Line 3: prior, step 3 of 3 (25 % of 2 pictures)" in screen.getvalue()
    assert "Line 7: decoder, step 1 of 2 (83 % of 2 pictures)" in screen.getvalue()
    assert screen.getvalue().endswith("1 picture in 2.5 s\n")
