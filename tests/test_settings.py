"""Options: the source of a value, and the error message for every mistake."""

import dataclasses
import re

import pytest

from wuerst_demo.errors import SetupError
from wuerst_demo.options import env_variable, flag_name
from wuerst_demo.settings import OPTION_GROUP_TITLES, OPTIONS, Settings


def error_message(argv=(), env=None, **more):
    with pytest.raises(SetupError) as caught:
        Settings.read(list(argv), env or {}, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_every_option_has_a_default():
    assert Settings.read([], {}) == Settings()


def test_every_option_is_a_flag_and_an_environment_variable():
    samples = {"device": "cpu", "dtype": "float16", "port": "8000", "auth": "a:b", "offload": "none"}
    samples |= {"allow_origin": "https://a.org", "root_path": "/a", "trusted_proxy": "10.0.0.2"}
    samples |= {"replicas": "2", "ray": "head:6379"}
    for name, option in OPTIONS.items():
        if name == "share":
            continue
        text = option.choices[0] if option.choices else samples.get(name, "word")
        argv = [flag_name(name), text] if option.metavar else [flag_name(name)]
        env = {env_variable(name): text if option.metavar else "1"}
        given = Settings.read(argv, {}, tuple(OPTION_GROUP_TITLES))
        assert given == Settings.read([], env, tuple(OPTION_GROUP_TITLES))
        expected = (text,) if option.repeatable else text if option.metavar else True
        assert str(getattr(given, name)) == str(expected)


def test_repeatable_option_is_repeated_or_separated_by_commas():
    several = ("a.safetensors:0.5", "owner/name")
    assert Settings.read(["--lora", several[0], "--lora", several[1]], {}).lora == several
    assert Settings.read(["--lora", "a.safetensors:0.5, owner/name"], {}).lora == several
    assert Settings.read([], {"WUERST_LORA": "a.safetensors:0.5,owner/name"}).lora == several
    assert Settings.read(["--lora", "b"], {"WUERST_LORA": "a"}).lora == ("b",)
    assert "separated by commas" in error_message(["--lora", "a,,b"])


def test_trusted_proxies_are_addresses_and_networks():
    proxies = ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32", "::1")
    assert Settings.read(["--trusted-proxy", ", ".join(proxies)], {}).trusted_proxy == proxies
    assert Settings.read([], {"WUERST_TRUSTED_PROXY": "10.0.0.2"}).trusted_proxy == ("10.0.0.2",)
    for text in ("proxy.example.org", "10.0.0.5/8", "10.0.0.0/33", "1.2.3", "*", "10.0.0.1,,", "10.0.0.1:80", "/8", ""):
        assert "--trusted-proxy must be" in error_message(["--trusted-proxy", text])
    assert "an IP address such as 10.0.0.2 or a network" in error_message(env={"WUERST_TRUSTED_PROXY": "localhost"})


def test_flag_takes_precedence_over_variable_over_default():
    env = {"WUERST_PORT": "8001", "WUERST_DEVICE": "mps"}
    settings = Settings.read(["--port", "8002"], env)
    assert (settings.port, settings.device, settings.dtype) == (8002, "mps", "auto")


def test_empty_variable_is_ignored():
    assert Settings.read([], {"WUERST_MODEL": "", "WUERST_SHARE": ""}) == Settings()


def test_gradio_variables_are_read_after_the_own_ones():
    env = {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7000"}
    assert (Settings.read([], env).host, Settings.read([], env).port) == ("0.0.0.0", 7000)
    assert Settings.read([], {**env, "WUERST_HOST": "::1"}).host == "::1"


def test_options_of_other_groups_are_not_read():
    assert "no option --port" in error_message(["--port", "8000"], groups=("model", "placement"))
    assert Settings.read([], {"WUERST_PORT": "nonsense"}, ("model", "placement")).port == 7860


@pytest.mark.parametrize("text", ["0", "65536", "-1", "abc", "80.0", "1e3", "", "٨٠", "99999999999999999999"])
def test_invalid_port_is_rejected_by_the_name_of_its_source(text):
    assert error_message(["--port", text]).startswith("--port must be")
    if text:
        assert error_message(env={"WUERST_PORT": text}) == "WUERST_PORT must be a whole number from 1 to 65535."


@pytest.mark.parametrize("text", ["gpu", "CUDA", "cuda:", "cuda:x", "cpu:0"])
def test_unknown_device_is_rejected(text):
    assert "cuda:NUMBER" in error_message(["--device", text])


@pytest.mark.parametrize("text", ["0", "-1", "two", "1000", "1.5", "٢"])
def test_invalid_number_of_replicas_is_rejected(text):
    assert error_message(["--replicas", text]) == "--replicas must be auto, or a whole number from 1 to 999."


@pytest.mark.parametrize("text", ["auto", "ray://head:10001", "head", "head:", "http://head:6379", "head:6379/x"])
def test_invalid_address_of_a_cluster_is_rejected(text):
    assert error_message(["--ray", text]).startswith("--ray must be the address of the cluster's head: HOST:PORT")


def test_invalid_choice_lists_the_valid_ones():
    assert error_message(["--dtype", "fp16"]) == "--dtype must be one of: auto, float32, float16, bfloat16."


def test_boolean_variable_accepts_the_common_words_only():
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
    assert error_message(env={"WUERST_NO_AUTH": "maybe"}).startswith("WUERST_NO_AUTH must be 1 or 0")


def test_share_requires_auth_or_no_auth():
    assert "--auth USER:PASSWORD" in error_message(["--share"])
    assert "--auth USER:PASSWORD" in error_message(env={"WUERST_SHARE": "1"})
    assert Settings.read(["--share", "--no-auth"], {}).share
    assert Settings.read(["--share"], {"WUERST_AUTH": "me:secret"}).auth == "me:secret"
    assert "contradict" in error_message(["--share", "--no-auth", "--auth", "me:secret"])


@pytest.mark.parametrize("text", ["me", "me:", ":secret", ":"])
def test_user_name_without_a_password_is_rejected(text):
    assert "USER:PASSWORD" in error_message(["--auth", text])


def test_password_may_contain_colons_and_is_never_shown():
    settings = Settings.read(["--auth", "me:sec:ret"], {})
    assert settings.auth == "me:sec:ret"
    assert "sec" not in repr(settings)
    assert "sec" not in error_message(["--auth", "sec:"])


@pytest.mark.parametrize(
    "argv",
    [
        ["--device", "cpu", "--offload", "model"],
        ["--device", "mps", "--attention", "xformers"],
        ["--offload", "sequential", "--compile"],
    ],
)
def test_conflicting_options_are_rejected_with_a_remedy(argv):
    assert re.search(r"(leave|give) (out )?--", error_message(argv))


def test_unexpected_word_is_rejected_unquoted():
    assert "secret cat" not in error_message(["a secret cat"])


def test_help_lists_every_option_and_exits_with_0(capsys):
    with pytest.raises(SystemExit) as caught:
        Settings.read(["--help"], {})
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(flag_name(name) in shown for name, option in OPTIONS.items() if option.group != "output")


def test_settings_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1


def test_a_comma_in_the_name_of_a_local_lora_separates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "style, v2.safetensors").touch()
    (tmp_path / "a,b").mkdir()
    for text in ("style, v2.safetensors", "style, v2.safetensors:0.6", "a,b"):
        assert Settings.read(["--lora", text], {}).lora == (text,)
        assert Settings.read([], {"WUERST_LORA": f"{text},owner/name"}).lora == (text, "owner/name")
    assert Settings.read(["--lora", "x/y", "--lora", "owner/name, a,b:2"], {}).lora == ("x/y", "owner/name", "a,b:2")


@pytest.mark.parametrize("text", ["x.safetensors:0,6", "x.safetensors:0,6,owner/name", "a/b,x.safetensors:0, 6"])
def test_a_strength_with_a_decimal_comma_is_rejected_as_a_number(text):
    assert "given its strength with a point: x.safetensors:0.6" in error_message(["--lora", text])


def test_options_after_a_given_flag_are_read_too():
    settings = Settings.read(["--model", "cocktail"], {"WUERST_PORT": "8001", "WUERST_PRIOR": "p/q"})
    assert (settings.model, settings.prior, settings.port) == ("cocktail", "p/q", 8001)
