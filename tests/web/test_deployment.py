"""Deployment of the page: local, on a Space, on ZeroGPU."""

import pickle
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.fakes.web import LIMITS
from wuerst_demo.errors import CheckpointError, PromptError, SettingsError, UserError
from wuerst_demo.settings import Settings
from wuerst_demo.web import deployment

SPACE = {"SPACE_ID": "somebody/wuerstchen"}
ZERO = SPACE | {"SPACES_ZERO_GPU": "true"}


def locate(model, prior, vqgan, loras):
    return (model, prior, vqgan)


def unreachable(model, prior, vqgan, loras):
    if model is not None:
        raise CheckpointError("The Hub cannot be reached; check the network.")
    return "cocktail"


def found(settings, env, driver, locate=locate):
    said = []
    return deployment.resolve_checkpoint(settings, env, locate, said.append, driver), said


@contextmanager
def listening(host="127.0.0.1"):
    with socket.socket() as taken:
        taken.bind((host, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_local_page_uses_the_requested_checkpoint(tmp_path):
    assert found(Settings(), {}, tmp_path)[0] == (None, None, None)
    assert found(Settings(model="m", prior="p", vqgan="v"), {}, tmp_path)[0] == ("m", "p", "v")


@pytest.mark.parametrize("env", [SPACE, ZERO])
def test_a_space_with_a_gpu_uses_the_published_checkpoint(env, tmp_path):
    assert found(Settings(), env, tmp_path)[0] == ("warp-ai/wuerstchen", None, None)


def test_a_space_without_a_gpu_uses_the_bundled_checkpoint(tmp_path):
    assert found(Settings(), SPACE, tmp_path / "no-driver")[0] == (None, None, None)


@pytest.mark.parametrize("argv", [["--replicas", "2"], ["--ray", "head:6379"]])
def test_replicas_are_rejected_on_zero_gpu(argv):
    with pytest.raises(SettingsError, match="leave --replicas and --ray"):
        deployment.adapt_settings(Settings.read(argv, {}), ZERO)


def test_zero_gpu_counts_as_a_gpu_without_a_driver(tmp_path):
    assert found(Settings(), ZERO, tmp_path / "no-driver")[0] == ("warp-ai/wuerstchen", None, None)


def test_a_space_uses_the_requested_checkpoint(tmp_path):
    assert found(Settings(model="m"), ZERO, tmp_path)[0] == ("m", None, None)


def test_a_space_without_the_hub_reports_it_and_uses_the_bundled_checkpoint(tmp_path):
    checkpoint, said = found(Settings(), SPACE, tmp_path, unreachable)
    assert checkpoint == "cocktail"
    assert len(said) == 1
    assert said[0].startswith("The Hub cannot be reached")


def test_a_missing_checkpoint_is_an_error_on_a_local_machine(tmp_path):
    with pytest.raises(CheckpointError):
        found(Settings(model="m"), {}, tmp_path, unreachable)


def test_the_page_listens_on_loopback_by_default_and_on_all_addresses_on_a_space():
    with listening() as port:
        pass
    assert deployment.resolve_address(Settings(port=port), {}) == ("127.0.0.1", port)
    assert deployment.resolve_address(Settings(port=port), SPACE) == ("0.0.0.0", port)
    assert deployment.resolve_address(Settings(port=port, host="localhost"), SPACE) == ("localhost", port)


def has_ipv6():
    """Whether something can listen at this machine's own address of six."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_bracketed_as_in_a_url(host):
    with listening() as port:
        pass
    assert deployment.resolve_address(Settings(port=port, host=host), {}) == ("[::1]", port)


def test_the_machines_own_addresses_bypass_any_proxy():
    environment = {"http_proxy": "http://proxy:3128", "no_proxy": "example.org"}
    deployment.bypass_proxy(environment, "192.0.2.7")
    for name, there in (("no_proxy", "example.org"), ("NO_PROXY", "localhost")):
        assert {there, "127.0.0.1", "localhost", "::1", "192.0.2.7"} <= set(environment[name].split(","))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_is_rejected_with_the_remedy(host):
    with listening("0.0.0.0") as port, pytest.raises(SettingsError, match=f"Port {port} is in use.*--port"):
        deployment.resolve_address(Settings(port=port, host=host), {})


@pytest.mark.parametrize("host", ["no such host", "203.0.113.7", "127.0.0.1:80", "192.168..5", "x" * 64])
def test_a_host_that_is_not_this_machine_is_rejected_with_the_remedy(host):
    with listening() as port:
        pass
    with pytest.raises(SettingsError, match=r"--host .* use 127\.0\.0\.1"):
        deployment.resolve_address(Settings(port=port, host=host), {})


def test_a_history_is_kept_only_where_nobody_else_can_open_the_page():
    for host in ("127.0.0.1", "localhost", "127.0.0.2", "::1", "[::1]"):
        assert deployment.keeps_history(Settings(), {}, host)
        assert not deployment.keeps_history(Settings(), SPACE, host)
        proxied = ({"auth": "a:b", "allow_host": ("example.org",)}, {"auth": "a:b", "root_path": "/wuerst"})
        named = {"auth": "a:b", "trusted_proxy": ("127.0.0.1",)}
        for otherwise in ({"share": True, "no_auth": True}, {"no_history": True}, *proxied, named):
            assert not deployment.keeps_history(Settings(**otherwise), {}, host)
        assert deployment.keeps_history(Settings(auth="a:b"), {}, host)  # against other users of this machine
    for host in ("0.0.0.0", "::", "203.0.113.7", "no such host", ""):
        assert not deployment.keeps_history(Settings(), {}, host)


class Spaces:
    """The package `spaces`, as far as it matters here."""

    def __init__(self):
        self.durations = []

    def GPU(self, duration):
        def around(function):
            def marked(*given):
                self.durations.append(duration(*given))
                return function(*given)

            return marked

        return around


def test_a_call_on_zero_gpu_declares_its_longest_duration():
    spaces = Spaces()
    draw = deployment.prepare_zero_gpu(ZERO, spaces)(lambda request, session: iter((request, session)))
    request = LIMITS.request({})
    assert list(draw(request, "me")) == [request, "me"]
    assert spaces.durations == [deployment.max_duration_s(request)]


class Elsewhere(Spaces):
    """As `spaces` draws in another process, out of which comes what is yielded, and of an error nothing but its name;
    unless there is a reason why it does not draw at all."""

    def __init__(self, refused=""):
        super().__init__()
        self.refused = refused

    def GPU(self, duration):
        def around(function):
            def marked(*given):
                if self.refused:
                    raise Shown(self.refused)
                try:
                    for event in function(*given):
                        yield pickle.loads(pickle.dumps(event))
                except (UserError, RuntimeError) as error:
                    raise Shown(type(error).__name__, "ZeroGPU worker error") from None

            return marked

        return around


class Shown(Exception):
    """Gradio's error, as far as it matters here."""

    def __init__(self, message, title="Error"):
        super().__init__(message)
        self.message, self.title = message, title


def test_a_user_error_on_zero_gpu_keeps_its_type_and_text():
    def draw(request, session):
        yield "begun"
        if not request.prompt:
            raise PromptError("The weight 100 is too large; use at most 4.")

    drawn = deployment.prepare_zero_gpu(ZERO, Elsewhere())(draw)
    events = drawn(LIMITS.request({}), "me")
    assert next(events) == "begun"
    with pytest.raises(PromptError, match=r"^The weight 100 is too large; use at most 4\.$"):
        next(events)
    assert list(drawn(LIMITS.request({"prompt": "a cat"}), "me")) == ["begun"]


def test_an_exceeded_quota_on_zero_gpu_is_shown_as_plain_text():
    spaces = Elsewhere("<b>You have exceeded</b> your GPU quota &amp; may try again in 1:00")
    drawn = deployment.prepare_zero_gpu(ZERO, spaces)(lambda request, session: iter(()))
    with pytest.raises(UserError, match=r"^You have exceeded your GPU quota & may try again in 1:00$"):
        list(drawn(LIMITS.request({}), "me"))


def test_an_internal_error_on_zero_gpu_is_not_a_user_error():
    def failing(request, session):
        yield "begun"
        raise RuntimeError("CUDA error")

    with pytest.raises(Shown, match="RuntimeError"):
        list(deployment.prepare_zero_gpu(ZERO, Elsewhere())(failing)(LIMITS.request({}), "me"))


@pytest.mark.parametrize("env", [{}, SPACE])
def test_nothing_is_wrapped_outside_of_zero_gpu(env):
    def draw(request, session):
        return iter(())

    assert deployment.prepare_zero_gpu(env, Spaces())(draw) is draw


def test_larger_requests_declare_longer_durations_up_to_the_limit():
    little = deployment.max_duration_s(LIMITS.request({"images": 1}))
    much = deployment.max_duration_s(LIMITS.request({"images": 8, "width": 512, "height": 512, "prior_steps": 100}))
    assert 0 < little < much <= 120
    values = {"prior_guidance": 0, "width": 512, "height": 512, "decoder_steps": 100}
    plain, guided = (deployment.max_duration_s(LIMITS.request({**values, "decoder_guidance": g})) for g in (0, 4))
    assert guided > plain


def test_deployment_loads_neither_torch_nor_gradio():
    code = "import sys, wuerst_demo.web.deployment; print({'torch', 'gradio'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_offload_and_compilation_are_rejected_on_zero_gpu():
    assert deployment.adapt_settings(Settings(), ZERO).offload == "none"
    assert deployment.adapt_settings(Settings(offload="sequential", compile=True), SPACE).offload == "sequential"
    for asked, name in ((Settings(offload="model"), "WUERST_OFFLOAD"), (Settings(compile=True), "WUERST_COMPILE")):
        with pytest.raises(SettingsError, match=f"On ZeroGPU|on ZeroGPU.*{name}"):
            deployment.adapt_settings(asked, ZERO)


def test_without_the_package_of_a_space_nothing_is_wrapped(monkeypatch):
    monkeypatch.setitem(sys.modules, "spaces", None)

    def run(request, session):
        return iter(())

    assert deployment.prepare_zero_gpu({})(run) is run
