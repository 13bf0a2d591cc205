"""The command line: what it draws, where it puts it, and the one line it says for every mistake."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import FakeCascade, FakeRow, painted
from wuerst_demo.cli import main, request_flags
from wuerst_demo.engine.inline import Inline
from wuerst_demo.errors import UserError
from wuerst_demo.metadata import from_png
from wuerst_demo.request import DESCRIPTIONS, Limits

ROOT = Path(__file__).parent.parent
CHECKPOINT = ROOT / "tests" / "fixtures" / "checkpoint-2023" / "wuerstchen"


@dataclasses.dataclass
class FakePlacement:
    reason: str = "Runs in the imagination."


class FakeWuerstchen:
    """A loaded checkpoint without networks. `asked` holds the requests it was given."""

    placement = FakePlacement()

    def __init__(self, cascade=None):
        self.engine = Inline(cascade or FakeCascade())
        self.asked = []

    def run(self, request):
        self.asked.append(request)
        return self.engine.run(request)


@pytest.fixture
def said(capsys, tmp_path):
    """Runs `main` in an empty folder: exit code, lines of standard output, lines of standard error, requests asked."""

    def run(*argv, cascade=None, env=None):
        fake = FakeWuerstchen(cascade)
        model = [] if "--model" in argv or not argv or argv[0] == "train" else ["--model", str(CHECKPOINT)]
        with contextlib.chdir(tmp_path):
            code = main([*argv, *model], env or {}, load=lambda located, settings: fake)
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines(), fake.asked

    return run


def test_a_prompt_becomes_files_whose_paths_are_printed(said, tmp_path):
    code, out, _, (request,) = said("generate", "a cat", "--images", "3", "--seed", "4294967295")
    assert code == 0
    assert [Path(line).parent for line in out] == [Path("outputs")] * 3
    assert sorted(tmp_path.glob("outputs/*")) == sorted(tmp_path / line for line in out)
    for k, line in enumerate(out):
        found = from_png(tmp_path / line)
        assert Limits().request(found.values) == request.image(k)
        assert found.checkpoint == "wuerstchen"


def test_the_picture_in_the_file_is_the_one_that_was_drawn(said, tmp_path):
    from PIL import Image, ImageChops

    _, (line,), _, (request,) = said("generate", "a cat", "--seed", "5")
    assert ImageChops.difference(Image.open(tmp_path / line), painted(request.image(0))).getbbox() is None


def test_every_option_reaches_the_request(said):
    argv = {
        "--negative-prompt": "-dogs, --cats",
        "--width": "512",
        "--height": "640",
        "--images": "2",
        "--seed": "7",
        "--prior-steps": "5",
        "--prior-schedule": "linear",
        "--prior-guidance": "2.5",
        "--decoder-steps": "3",
        "--decoder-guidance": "1.1",
    }
    words = [word for pair in argv.items() for word in pair]
    _, _, _, (request,) = said("generate", "-a cat", *words, "--no-weighting")
    assert request == Limits().request(
        {
            "prompt": "-a cat",
            "negative_prompt": "-dogs, --cats",
            "weighting": False,
            "width": 512,
            "height": 640,
            "images": 2,
            "seed": 7,
            "prior_steps": 5,
            "prior_schedule": "linear",
            "prior_guidance": 2.5,
            "decoder_steps": 3,
            "decoder_guidance": 1.1,
        }
    )


def test_every_field_of_a_request_has_its_option():
    assert {"prompt"} | {flag.name for flag in request_flags()} == set(DESCRIPTIONS)


def test_an_empty_prompt_is_drawn(said):
    code, out, _, (request,) = said("generate", "")
    assert (code, len(out), request.prompt) == (0, 1, "")


def test_pictures_go_where_they_are_told(said, tmp_path):
    _, (one,), _, _ = said("generate", "cat", "--output", "here/and there")
    _, (two,), _, _ = said("generate", "cat", env={"WUERST_OUTPUT": "elsewhere"})
    assert (Path(one).parent, Path(two).parent) == (Path("here/and there"), Path("elsewhere"))
    assert (tmp_path / one).is_file()
    assert (tmp_path / two).is_file()


def test_the_prompt_is_never_said(said):
    _, out, err, _ = said("generate", "mysecret", "--images", "2")
    assert "mysecret" not in "".join(out + err)


def test_where_it_runs_and_how_long_it_took_are_said_on_standard_error(said):
    _, _, err, _ = said("generate", "cat")
    assert err[0] == "Runs in the imagination."
    assert err[1].startswith("1 picture in ")


def test_how_the_prompt_was_read_is_said_once(said):
    class Noting(FakeCascade):
        def begin(self, request):
            return [dataclasses.replace(row, notes=("The rest is left out.",)) for row in super().begin(request)]

    _, _, err, _ = said("generate", "cat", "--images", "3", cascade=Noting())
    assert err.count("The rest is left out.") == 1


def test_a_failure_while_drawing_is_one_line_and_keeps_what_is_finished(said, tmp_path):
    code, out, err, _ = said("generate", "cat", "--images", "2", "--seed", "1", cascade=FakeCascade(spoilt=[2]))
    assert (code, len(out)) == (2, 1)
    assert err[-1] == "This picture is spoilt; try another seed."
    assert [path.name for path in tmp_path.glob("outputs/*")] == [Path(out[0]).name]


def test_a_failure_at_the_first_step_says_nothing_else(said, tmp_path):
    code, out, err, _ = said("generate", "cat", cascade=FakeCascade(failures={0: UserError("No; do that.")}))
    assert (code, out, err) == (2, [], ["No; do that."])
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_keeps_its_traceback(said):
    with pytest.raises(ZeroDivisionError):
        said("generate", "cat", cascade=FakeCascade(failures={0: ZeroDivisionError()}))


def test_an_interrupt_ends_at_once_and_keeps_what_is_finished(said, tmp_path):
    def stop():
        if list(tmp_path.glob("outputs/*.png")):
            raise KeyboardInterrupt

    one = ["generate", "cat", "--images", "2", "--width", "256", "--prior-steps", "3", "--decoder-steps", "2"]
    code, out, err, _ = said(*one, cascade=OneByOne(between=stop))
    assert (code, err[-1]) == (130, "Stopped.")
    assert [path.name for path in tmp_path.glob("outputs/*")] == [Path(line).name for line in out]
    assert len(out) == 1


class OneByOne(FakeCascade):
    """Draws one picture to its end before it begins the next."""

    def begin(self, request):
        return [DifferentRow(**vars(row)) for row in super().begin(request)]


class DifferentRow(FakeRow):
    @property
    def key(self):
        return self.image


def test_help_names_every_option_and_needs_nothing(said):
    code, out, err, _ = said("generate", "--help")
    assert (code, err) == (0, [])
    assert all(any(line.startswith(f"  {flag.word}") for line in out) for flag in request_flags())
    assert any(line.startswith("  --device") for line in out)
    assert said("--help")[0] == said("info", "--help")[0] == said("--version")[0] == 0


def test_info_is_text_or_json(said):
    code, out, _, _ = said("info", "--device", "cpu")
    assert code == 0
    assert any("warp-ai/wuerstchen-prior" in line for line in out)
    code, out, _, _ = said("info", "--json", "--device", "cpu")
    assert json.loads("\n".join(out))["checkpoint"]["name"] == "wuerstchen"


HUGE = "x" * 100_000
REFUSED = {
    "nothing said": ([], "generate, info or train"),
    "unknown command": (["draw", "cat"], "generate, info or train"),
    "no prompt": (["generate"], "needs a prompt"),
    "prompt without quotes": (["generate", "a", "cat"], "put it in quotes"),
    "misspelt option": (["generate", "cat", "--witdh", "256"], "did you mean --width?"),
    "option without its value": (["generate", "cat", "--seed"], "--seed needs a value"),
    "option of the page": (["generate", "cat", "--port", "80"], "no option --port"),
    "misspelt checkpoint": (["generate", "cat", "--model", "warp-ai/wurstchen/x"], "did you mean warp-ai/wuerstchen"),
    "missing folder": (["generate", "cat", "--model", "./nowhere/at/all"], "neither a folder"),
    "missing prior": (["generate", "cat", "--prior", "./nowhere/at/all"], "neither a folder"),
    "size off the grid": (["generate", "cat", "--width", "1000"], "the nearest are 896 and 1024"),
    "size too large": (["generate", "cat", "--height", "100000"], "Height is 100000; choose from 128 to 2048."),
    "too many steps": (["generate", "cat", "--prior-steps", "101"], "choose from 1 to 100"),
    "no steps": (["generate", "cat", "--decoder-steps", "0"], "choose from 1 to 100"),
    "too many pictures": (["generate", "cat", "--images", "9"], "choose from 1 to 8"),
    "guidance out of range": (["generate", "cat", "--prior-guidance", "20.5"], "choose from 0 to 20"),
    "guidance not a number": (["generate", "cat", "--decoder-guidance", "nan"], "must be a number from 0 to 20"),
    "infinite guidance": (["generate", "cat", "--prior-guidance", "1e400"], "must be a number from 0 to 20"),
    "text for a number": (["generate", "cat", "--images", "two"], "Pictures must be a whole number from 1 to 8."),
    "half a picture": (["generate", "cat", "--images", "1.5"], "must be a whole number"),
    "negative seed": (["generate", "cat", "--seed", "-1"], "Seed is -1; choose from 0 to 4294967295."),
    "huge seed": (["generate", "cat", "--seed", str(2**40)], "choose from 0 to 4294967295"),
    "endless seed": (["generate", "cat", "--seed", "9" * 5000], "must be a whole number from 0 to 4294967295"),
    "unknown schedule": (["generate", "cat", "--prior-schedule", "karras"], "must be one of: two-part, linear."),
    "long prompt": (["generate", HUGE], "Prompt is 100,000 characters long; shorten it to at most 2,000."),
    "long negative prompt": (["generate", "cat", "--negative-prompt", HUGE], "Negative prompt is 100,000"),
    "control character": (["generate", "cat\x1b[2J"], "control character U+001B"),
    "broken weighting": (["generate", '("cat", "dog").blend(1)'], "blend"),
    "nested brackets": (["generate", "(" * 50 + "cat" + ")" * 50], "brackets"),
    "folder that is a file": (["generate", "cat", "--output", __file__], "a file has that name"),
    "folder on no disk": (["generate", "cat", "--output", "/proc/pictures"], "choose another folder"),
    "unknown device": (["generate", "cat", "--device", "gpu"], "--device must be auto, cpu, mps, cuda"),
    "unknown type": (["generate", "cat", "--dtype", "int8"], "--dtype must be one of"),
    "offload": (["generate", "cat", "--device", "cpu", "--offload", "model"], "a CPU computes there: leave --offload"),
    "xformers": (["generate", "cat", "--device", "cpu", "--attention", "xformers"], "on CUDA GPUs only: leave --att"),
    "compile": (["generate", "cat", "--offload", "sequential", "--compile"], "nothing whole to compile: leave --comp"),
    "lora that is not there": (["generate", "cat", "--lora", "x.safetensors:0.5"], "There is no LoRA x.safetensors"),
    "lora without a scale": (["generate", "cat", "--lora", "x.safetensors:strong"], "The scale of a LoRA is a number"),
    "lora as a pickle": (["generate", "cat", "--lora", "owner/name/x.bin"], "stored as a pickle"),
    "words after info": (["info", "cat"], "options only"),
    "info on nothing": (["info", "--model", "./nowhere/at/all"], "neither a folder"),
}


@pytest.fixture(scope="module")
def answers():
    """Name of a mistake -> exit code, standard output, standard error; and "heavy": the libraries all of them loaded.

    One process of its own makes all the mistakes, as this one has long imported torch.
    """
    script = """
import contextlib, io, json, sys
from wuerst_demo.cli import main
answers = {}
for name, argv in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        answers[name] = [main(argv, {}), out.getvalue(), err.getvalue()]
answers["heavy"] = sorted({"torch", "diffusers", "transformers", "compel", "gradio", "numpy"} & set(sys.modules))
json.dump(answers, sys.stdout)
"""
    model = ["--model", str(CHECKPOINT)]
    mistakes = {
        name: argv + (model if argv and argv[0] in ("generate", "info") and "--model" not in argv[:-1] else [])
        if name != "option without its value"
        else [argv[0], argv[1], *model, argv[2]]
        for name, (argv, _) in REFUSED.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(mistakes), capture_output=True, text=True, cwd=ROOT, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_answered_with_one_line_and_exit_code_2(answers, name):
    code, out, err = answers[name]
    assert (code, out) == (2, "")
    assert REFUSED[name][1] in err
    assert err.count("\n") == 1
    assert err.endswith((".\n", "?\n"))
    assert len(err) < 300


def test_no_mistake_needs_torch_to_be_answered(answers):
    assert answers["heavy"] == []


def program(*argv, **more):
    """The program itself, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "wuerst_demo", *argv], capture_output=True, text=True, cwd=ROOT, check=False, **more
    )


def test_the_program_exits_with_2_and_one_line():
    done = program("generate", "a cat", "--model", str(CHECKPOINT), "--seed", "-1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Seed is -1; choose from 0 to 4294967295.\n"


def test_without_a_network_a_checkpoint_of_the_hub_is_one_line(tmp_path):
    nowhere = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = program("generate", "a cat", "--model", "warp-ai/wuerstchen", env=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Hub cannot be reached" in done.stderr
    assert done.stderr.count("\n") == 1
    unread = program("generate", "(a cat).swap(dog)", "--model", "warp-ai/wuerstchen", env=nowhere)
    assert "swap" in unread.stderr  # what is wrong anyway is said before anything is fetched


def test_a_reader_that_leaves_is_no_fault():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "wuerst_demo", "generate", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_on_a_full_disk_is_one_line(unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wuerst_demo", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("Standard output cannot be written (No space left on device)")
    assert done.stderr.count("\n") == 1


def test_a_terminal_without_unicode_shows_what_it_can():
    done = program("--help", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert "W\\xfcrstchen" in done.stdout
