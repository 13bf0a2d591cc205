import pickle
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.ui.fakes import LIMITS
from wuerst_demo.errors import CheckpointError, PromptError, SettingsError, UserError
from wuerst_demo.settings import Settings
from wuerst_demo.ui import hosting

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
    return hosting.found(settings, env, locate, said.append, driver), said


@contextmanager
def listening(host="127.0.0.1"):
    with socket.socket() as taken:
        taken.bind((host, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_at_home_the_checkpoint_is_the_one_that_was_asked_for(tmp_path):
    assert found(Settings(), {}, tmp_path)[0] == (None, None, None)
    assert found(Settings(model="m", prior="p", vqgan="v"), {}, tmp_path)[0] == ("m", "p", "v")


@pytest.mark.parametrize("env", [SPACE, ZERO])
def test_a_space_with_a_gpu_draws_with_the_published_checkpoint(env, tmp_path):
    assert found(Settings(), env, tmp_path)[0] == ("warp-ai/wuerstchen", None, None)


def test_a_space_without_a_gpu_draws_with_the_one_that_ships(tmp_path):
    assert found(Settings(), SPACE, tmp_path / "no-driver")[0] == (None, None, None)


def test_zero_gpu_counts_as_a_gpu_though_no_driver_shows(tmp_path):
    assert found(Settings(), ZERO, tmp_path / "no-driver")[0] == ("warp-ai/wuerstchen", None, None)


def test_a_space_draws_with_the_one_that_was_asked_for(tmp_path):
    assert found(Settings(model="m"), ZERO, tmp_path)[0] == ("m", None, None)


def test_a_space_without_the_hub_says_so_and_draws_with_the_one_that_ships(tmp_path):
    checkpoint, said = found(Settings(), SPACE, tmp_path, unreachable)
    assert checkpoint == "cocktail"
    assert len(said) == 1
    assert said[0].startswith("The Hub cannot be reached")


def test_at_home_a_checkpoint_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CheckpointError):
        found(Settings(model="m"), {}, tmp_path, unreachable)


def test_the_page_listens_on_this_machine_alone_unless_it_is_told_otherwise():
    with listening() as port:
        pass
    assert hosting.address(Settings(port=port), {}) == ("127.0.0.1", port)
    assert hosting.address(Settings(port=port), SPACE) == ("0.0.0.0", port)
    assert hosting.address(Settings(port=port, host="localhost"), SPACE) == ("localhost", port)


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
def test_an_address_of_six_stands_in_brackets_as_in_an_url(host):
    with listening() as port:
        pass
    assert hosting.address(Settings(port=port, host=host), {}) == ("[::1]", port)


def test_the_page_reaches_itself_past_any_proxy():
    environment = {"http_proxy": "http://proxy:3128", "no_proxy": "example.org"}
    hosting.reach_itself(environment, "192.0.2.7")
    for name, there in (("no_proxy", "example.org"), ("NO_PROXY", "localhost")):
        assert {there, "127.0.0.1", "localhost", "::1", "192.0.2.7"} <= set(environment[name].split(","))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_is_refused_with_the_remedy(host):
    with listening("0.0.0.0") as port, pytest.raises(SettingsError, match=f"Port {port} is in use.*--port"):
        hosting.address(Settings(port=port, host=host), {})


@pytest.mark.parametrize("host", ["no such host", "203.0.113.7", "127.0.0.1:80", "192.168..5", "x" * 64])
def test_a_host_that_is_not_this_machine_is_refused_with_the_remedy(host):
    with listening() as port:
        pass
    with pytest.raises(SettingsError, match=r"--host .* use 127\.0\.0\.1"):
        hosting.address(Settings(port=port, host=host), {})


def test_pictures_are_kept_where_nobody_else_gets_in_and_nowhere_else():
    for host in ("127.0.0.1", "localhost", "127.0.0.2", "::1", "[::1]"):
        assert hosting.keeps(Settings(), {}, host)
        assert not hosting.keeps(Settings(), SPACE, host)
        for otherwise in ({"share": True, "no_auth": True}, {"auth": "a:b"}, {"no_history": True}):
            assert not hosting.keeps(Settings(**otherwise), {}, host)
    for host in ("0.0.0.0", "::", "203.0.113.7", "no such host", ""):
        assert not hosting.keeps(Settings(), {}, host)


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


def test_on_zero_gpu_a_drawing_says_how_long_it_may_take_and_draws_the_same():
    spaces = Spaces()
    draw = hosting.before_torch(ZERO, spaces)(lambda request, session: iter((request, session)))
    request = LIMITS.request({})
    assert list(draw(request, "me")) == [request, "me"]
    assert spaces.durations == [hosting.seconds(request)]


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


def test_on_zero_gpu_a_visitor_hears_what_is_wrong_with_the_prompt_and_the_next_one_is_drawn():
    def draw(request, session):
        yield "begun"
        if not request.prompt:
            raise PromptError("The weight 100 is too large; use at most 4.")

    drawn = hosting.before_torch(ZERO, Elsewhere())(draw)
    events = drawn(LIMITS.request({}), "me")
    assert next(events) == "begun"
    with pytest.raises(PromptError, match=r"^The weight 100 is too large; use at most 4\.$"):
        next(events)
    assert list(drawn(LIMITS.request({"prompt": "a cat"}), "me")) == ["begun"]


def test_on_zero_gpu_a_visitor_without_quota_left_hears_so_in_words():
    spaces = Elsewhere("<b>You have exceeded</b> your GPU quota &amp; may try again in 1:00")
    drawn = hosting.before_torch(ZERO, spaces)(lambda request, session: iter(()))
    with pytest.raises(UserError, match=r"^You have exceeded your GPU quota & may try again in 1:00$"):
        list(drawn(LIMITS.request({}), "me"))


def test_on_zero_gpu_a_fault_of_ours_is_none_of_the_visitors():
    def failing(request, session):
        yield "begun"
        raise RuntimeError("CUDA error")

    with pytest.raises(Shown, match="RuntimeError"):
        list(hosting.before_torch(ZERO, Elsewhere())(failing)(LIMITS.request({}), "me"))


@pytest.mark.parametrize("env", [{}, SPACE])
def test_elsewhere_nothing_is_put_around_a_drawing(env):
    def draw(request, session):
        return iter(())

    assert hosting.before_torch(env, Spaces())(draw) is draw


def test_more_work_is_given_more_seconds_up_to_what_zero_gpu_allows():
    little = hosting.seconds(LIMITS.request({"images": 1}))
    much = hosting.seconds(LIMITS.request({"images": 8, "width": 512, "height": 512, "prior_steps": 100}))
    assert 0 < little < much <= 120


def test_where_it_runs_is_decided_without_torch_and_without_gradio():
    code = "import sys, wuerst_demo.ui.hosting; print({'torch', 'gradio'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_on_zero_gpu_nothing_is_offloaded_and_what_was_asked_for_is_refused():
    assert hosting.placed(Settings(), ZERO).offload == "none"
    assert hosting.placed(Settings(offload="sequential", compile=True), SPACE).offload == "sequential"
    for asked, name in ((Settings(offload="model"), "WUERST_OFFLOAD"), (Settings(compile=True), "WUERST_COMPILE")):
        with pytest.raises(SettingsError, match=f"On ZeroGPU|on ZeroGPU.*{name}"):
            hosting.placed(asked, ZERO)
