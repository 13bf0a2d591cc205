"""Options: where a value comes from, and what a mistake is answered with."""

import dataclasses
import re

import pytest

from wuerst_demo.errors import SetupError
from wuerst_demo.settings import OPTIONS, SECTIONS, Settings, flag, variable


def refusal(argv=(), env=None, **more):
    with pytest.raises(SetupError) as caught:
        Settings.read(list(argv), env or {}, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_without_anything_every_option_has_its_default():
    assert Settings.read([], {}) == Settings()


def test_every_option_is_a_flag_and_a_variable():
    samples = {"device": "cpu", "dtype": "float16", "port": "8000", "auth": "a:b", "offload": "none"}
    for name, option in OPTIONS.items():
        if name == "share":
            continue
        text = option.choices[0] if option.choices else samples.get(name, "word")
        argv = [flag(name), text] if option.metavar else [flag(name)]
        env = {variable(name): text if option.metavar else "1"}
        given = Settings.read(argv, {}, tuple(SECTIONS))
        assert given == Settings.read([], env, tuple(SECTIONS))
        expected = (text,) if option.many else text if option.metavar else True
        assert str(getattr(given, name)) == str(expected)


def test_an_option_that_takes_many_is_given_again_or_with_commas():
    several = ("a.safetensors:0.5", "owner/name")
    assert Settings.read(["--lora", several[0], "--lora", several[1]], {}).lora == several
    assert Settings.read(["--lora", "a.safetensors:0.5, owner/name"], {}).lora == several
    assert Settings.read([], {"WUERST_LORA": "a.safetensors:0.5,owner/name"}).lora == several
    assert Settings.read(["--lora", "b"], {"WUERST_LORA": "a"}).lora == ("b",)
    assert "commas between" in refusal(["--lora", "a,,b"])


def test_a_flag_goes_before_the_variable_and_the_variable_before_the_default():
    env = {"WUERST_PORT": "8001", "WUERST_DEVICE": "mps"}
    settings = Settings.read(["--port", "8002"], env)
    assert (settings.port, settings.device, settings.dtype) == (8002, "mps", "auto")


def test_an_empty_variable_counts_as_none():
    assert Settings.read([], {"WUERST_MODEL": "", "WUERST_SHARE": ""}) == Settings()


def test_a_space_can_say_where_to_listen_unless_our_own_variable_does():
    env = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7000"}
    assert (Settings.read([], env).host, Settings.read([], env).port) == ("0.0.0.0", 7000)
    assert Settings.read([], {**env, "WUERST_HOST": "::1"}).host == "::1"


def test_options_of_other_groups_are_neither_flags_nor_read_from_the_environment():
    assert "no option --port" in refusal(["--port", "8000"], groups=("model", "placement"))
    assert Settings.read([], {"WUERST_PORT": "nonsense"}, ("model", "placement")).port == 7860


@pytest.mark.parametrize("text", ["0", "65536", "-1", "abc", "80.0", "1e3", "", "٨٠", "99999999999999999999"])
def test_a_bad_port_is_refused_by_the_name_it_was_given_under(text):
    assert refusal(["--port", text]).startswith("--port must be")
    if text:
        assert refusal(env={"WUERST_PORT": text}) == "WUERST_PORT must be a whole number from 1 to 65535."


@pytest.mark.parametrize("text", ["gpu", "CUDA", "cuda:", "cuda:x", "cpu:0"])
def test_an_unknown_device_is_refused(text):
    assert "cuda:NUMBER" in refusal(["--device", text])


def test_a_choice_lists_what_can_be_chosen():
    assert refusal(["--dtype", "fp16"]) == "--dtype must be one of: auto, float32, float16, bfloat16."


def test_a_switch_in_a_variable_takes_the_usual_words_and_no_others():
    for word, value in {
        "1": True,
        "true": True,
        "YES": True,
        "on": True,
        "0": False,
        "no": False,
        "Off": False,
    }.items():
        assert Settings.read([], {"WUERST_NO_AUTH": word}).no_auth is value
    assert refusal(env={"WUERST_NO_AUTH": "maybe"}).startswith("WUERST_NO_AUTH must be 1 or 0")


def test_sharing_asks_who_may_come_in():
    assert "--auth USER:PASSWORD" in refusal(["--share"])
    assert "--auth USER:PASSWORD" in refusal(env={"WUERST_SHARE": "1"})
    assert Settings.read(["--share", "--no-auth"], {}).share
    assert Settings.read(["--share"], {"WUERST_AUTH": "me:secret"}).auth == "me:secret"
    assert "contradict" in refusal(["--share", "--no-auth", "--auth", "me:secret"])


@pytest.mark.parametrize("text", ["me", "me:", ":secret", ":"])
def test_a_name_without_a_password_is_refused(text):
    assert "USER:PASSWORD" in refusal(["--auth", text])


def test_a_password_may_hold_colons_and_never_shows():
    settings = Settings.read(["--auth", "me:sec:ret"], {})
    assert settings.auth == "me:sec:ret"
    assert "sec" not in repr(settings)
    assert "sec" not in refusal(["--auth", "sec:"])


@pytest.mark.parametrize(
    "argv",
    [
        ["--device", "cpu", "--offload", "model"],
        ["--device", "mps", "--attention", "xformers"],
        ["--offload", "sequential", "--compile"],
    ],
)
def test_what_does_not_go_together_is_refused_with_its_remedy(argv):
    assert re.search(r"(leave|give) (out )?--", refusal(argv))


def test_a_word_that_belongs_to_no_option_is_refused_unquoted():
    assert "secret cat" not in refusal(["a secret cat"])


def test_help_lists_every_option_and_ends_well(capsys):
    with pytest.raises(SystemExit) as caught:
        Settings.read(["--help"], {})
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(flag(name) in shown for name, option in OPTIONS.items() if option.group != "output")


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1
