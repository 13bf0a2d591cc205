"""The command line: the files it writes, and the one line it prints for every mistake."""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import CHECKPOINT
from tests.fakes.cascade import FakeCascade, FakeImageState, painted
from wuerst_demo.cli.main import add_request_options
from wuerst_demo.errors import UserError
from wuerst_demo.images.metadata import read_image_settings
from wuerst_demo.request import DESCRIPTIONS, Limits

ROOT = Path(__file__).parents[2]


def test_generate_writes_files_and_prints_their_paths(run_cli, tmp_path):
    code, out, _, (request,) = run_cli("generate", "a cat", "--images", "3", "--seed", "4294967295")
    assert code == 0
    assert [Path(line).parent for line in out] == [Path("outputs")] * 3
    assert sorted(tmp_path.glob("outputs/*")) == sorted(tmp_path / line for line in out)
    for k, line in enumerate(out):
        found = read_image_settings(tmp_path / line)
        assert Limits().request(found.values) == request.image(k)
        assert found.checkpoint == "wuerstchen"


def test_file_contains_the_generated_image(run_cli, tmp_path):
    from PIL import Image, ImageChops

    _, (line,), _, (request,) = run_cli("generate", "a cat", "--seed", "5")
    assert ImageChops.difference(Image.open(tmp_path / line), painted(request.image(0))).getbbox() is None


def test_every_option_reaches_the_request(run_cli):
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
    _, _, _, (request,) = run_cli("generate", "-a cat", *words, "--no-weighting")
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


def request_options():
    """Flag -> the field of a request that it sets."""
    parser = argparse.ArgumentParser(add_help=False)
    add_request_options(parser)
    return {flag: action.dest for flag, action in parser._option_string_actions.items()}


def test_every_field_of_a_request_has_an_option():
    assert {"prompt"} | set(request_options().values()) == set(DESCRIPTIONS)


def test_empty_prompt_is_generated(run_cli):
    code, out, _, (request,) = run_cli("generate", "")
    assert (code, len(out), request.prompt) == (0, 1, "")


def test_files_go_to_the_requested_folder(run_cli, tmp_path):
    _, (one,), _, _ = run_cli("generate", "cat", "--output", "here/and there")
    _, (two,), _, _ = run_cli("generate", "cat", env={"WUERST_OUTPUT": "elsewhere"})
    assert (Path(one).parent, Path(two).parent) == (Path("here/and there"), Path("elsewhere"))
    assert (tmp_path / one).is_file()
    assert (tmp_path / two).is_file()


def test_prompt_is_never_printed(run_cli):
    _, out, err, _ = run_cli("generate", "mysecret", "--images", "2")
    assert "mysecret" not in "".join(out + err)


def test_placement_and_duration_go_to_standard_error(run_cli):
    _, _, err, _ = run_cli("generate", "cat")
    assert err[0] == "Runs on nothing."
    assert err[1].startswith("1 picture in ")


def test_prompt_notes_are_printed_once(run_cli):
    class Noting(FakeCascade):
        def begin(self, request):
            return [dataclasses.replace(row, notes=("The rest is left out.",)) for row in super().begin(request)]

    _, _, err, _ = run_cli("generate", "cat", "--images", "3", cascade=Noting())
    assert err.count("The rest is left out.") == 1


def test_failure_is_one_line_and_keeps_finished_images(run_cli, tmp_path):
    code, out, err, _ = run_cli(
        "generate", "cat", "--images", "2", "--seed", "1", cascade=FakeCascade(failing_pictures=[2])
    )
    assert (code, len(out)) == (2, 1)
    assert err[-1] == "This picture has failed; try another seed."
    assert [path.name for path in tmp_path.glob("outputs/*")] == [Path(out[0]).name]


def test_failure_at_the_first_step_prints_nothing_else(run_cli, tmp_path):
    code, out, err, _ = run_cli("generate", "cat", cascade=FakeCascade(failures={0: UserError("No; do that.")}))
    assert (code, out, err) == (2, [], ["No; do that."])
    assert list(tmp_path.iterdir()) == []


def test_bug_keeps_its_traceback(run_cli):
    with pytest.raises(ZeroDivisionError):
        run_cli("generate", "cat", cascade=FakeCascade(failures={0: ZeroDivisionError()}))


def test_interrupt_ends_at_once_and_keeps_finished_images(run_cli, tmp_path):
    def stop():
        if list(tmp_path.glob("outputs/*.png")):
            raise KeyboardInterrupt

    one = ["generate", "cat", "--images", "2", "--width", "256", "--prior-steps", "3", "--decoder-steps", "2"]
    code, out, err, _ = run_cli(*one, cascade=OneByOne(between=stop))
    assert (code, err[-1]) == (130, "Stopped.")
    assert [path.name for path in tmp_path.glob("outputs/*")] == [Path(line).name for line in out]
    assert len(out) == 1


class OneByOne(FakeCascade):
    """Generates one image after the other."""

    def begin(self, request):
        return [SeparateImageState(**vars(state)) for state in super().begin(request)]


class SeparateImageState(FakeImageState):
    @property
    def key(self):
        return self.index


def test_help_lists_every_option_without_a_checkpoint(run_cli):
    code, out, err, _ = run_cli("generate", "--help")
    assert (code, err) == (0, [])
    assert all(any(line.startswith(f"  {flag}") for line in out) for flag in request_options())
    assert any(line.startswith("  --device") for line in out)
    assert run_cli("--help")[0] == run_cli("info", "--help")[0] == run_cli("--version")[0] == 0


def test_info_prints_text_or_json(run_cli):
    code, out, _, _ = run_cli("info", "--device", "cpu")
    assert code == 0
    assert any("warp-ai/wuerstchen-prior" in line for line in out)
    code, out, _, _ = run_cli("info", "--json", "--device", "cpu")
    assert json.loads("\n".join(out))["checkpoint"]["name"] == "wuerstchen"


def test_info_shows_the_machines_of_a_cluster(run_cli, monkeypatch):
    machines = [
        {"machine": "first", "cpus": 16.0, "gpus": 2.0, "alive": True},
        {"machine": "second", "cpus": 8.0, "gpus": 1.0, "alive": False},
    ]
    monkeypatch.setattr("wuerst_demo.fleet.ray_cluster.inspect_cluster", lambda address, env: machines)
    code, out, _, _ = run_cli("info", "--ray", "first:6379")
    assert (code, [line.split() for line in out[:2]]) == (
        0,
        [["first", "16", "cores", "2", "GPUs"], ["second", "gone"]],
    )
    assert out[2] == "--replicas auto starts 2."
    code, out, _, _ = run_cli("info", "--ray", "first:6379", "--json")
    assert json.loads("\n".join(out)) == machines


HUGE = "x" * 100_000
MISTAKES = {
    "no command": ([], "generate, page, info, train or bench"),
    "unknown command": (["draw", "cat"], "generate, page, info, train or bench"),
    "no prompt": (["generate"], "needs a prompt"),
    "prompt without quotes": (["generate", "a", "cat"], "put it in quotes"),
    "misspelt option": (["generate", "cat", "--witdh", "256"], "did you mean --width?"),
    "option without its value": (["generate", "cat", "--seed"], "--seed needs a value"),
    "option followed by two dashes": (["generate", "cat", "--seed", "--"], "--seed needs a value"),
    "option of the page": (["generate", "cat", "--port", "80"], "no option --port"),
    "address that is no Ray": (["info", "--ray", "first"], "HOST:PORT"),
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
    "negative seed": (["generate", "cat", "--seed", "-2"], "Seed is -2; choose from 0 to 4294967295."),
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
    "compile": (["generate", "cat", "--offload", "sequential", "--compile"], "nothing to compile: leave --comp"),
    "lora that is not there": (["generate", "cat", "--lora", "x.safetensors:0.5"], "There is no LoRA x.safetensors"),
    "lora without a scale": (["generate", "cat", "--lora", "x.safetensors:strong"], "The scale of a LoRA is a number"),
    "lora as a pickle": (["generate", "cat", "--lora", "owner/name/x.bin"], "stored as a pickle"),
    "words after info": (["info", "cat"], "Unexpected argument; options start with --"),
    "info on nothing": (["info", "--model", "./nowhere/at/all"], "neither a folder"),
}


@pytest.fixture(scope="module")
def outcomes():
    """Name of a mistake -> exit code, standard output, standard error; "heavy" -> the libraries that were imported.

    One process makes all the mistakes, as this one has already imported torch.
    """
    script = """
import contextlib, io, json, sys
from wuerst_demo.cli.main import main
outcomes = {}
for name, argv in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        outcomes[name] = [main(argv, {}), out.getvalue(), err.getvalue()]
outcomes["heavy"] = sorted({"torch", "diffusers", "transformers", "compel", "gradio", "numpy"} & set(sys.modules))
json.dump(outcomes, sys.stdout)
"""
    model = ["--model", str(CHECKPOINT)]
    mistakes = {
        name: argv + (model if argv and argv[0] in ("generate", "info") and "--model" not in argv[:-1] else [])
        if name != "option without its value"
        else [argv[0], argv[1], *model, argv[2]]
        for name, (argv, _) in MISTAKES.items()
    }
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(mistakes), capture_output=True, text=True, cwd=ROOT, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_one_line_and_exit_code_2(outcomes, name):
    code, out, err = outcomes[name]
    assert (code, out) == (2, "")
    assert MISTAKES[name][1] in err
    assert err.count("\n") == 1
    assert err.endswith((".\n", "?\n"))
    assert len(err) < 300


def test_mistakes_are_reported_without_importing_torch(outcomes):
    assert outcomes["heavy"] == []


def program(*argv, **more):
    """The program in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "wuerst_demo", *argv], capture_output=True, text=True, cwd=ROOT, check=False, **more
    )


def test_process_exits_with_2_and_one_line():
    done = program("generate", "a cat", "--model", str(CHECKPOINT), "--seed", "-2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Seed is -2; choose from 0 to 4294967295.\n"


def test_unreachable_hub_is_one_line(tmp_path):
    nowhere = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = program("generate", "a cat", "--model", "warp-ai/wuerstchen", env=nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Hub cannot be reached" in done.stderr
    assert done.stderr.count("\n") == 1
    unread = program("generate", "(a cat).swap(dog)", "--model", "warp-ai/wuerstchen", env=nowhere)
    assert "swap" in unread.stderr  # reported before any download


def test_closed_pipe_is_exit_code_141():
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


def test_terminal_without_unicode_shows_escapes():
    done = program("--help", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0
    assert "W\\xfcrstchen" in done.stdout
