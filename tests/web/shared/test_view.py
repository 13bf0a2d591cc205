"""Views of running work, and errors as text for users."""

import pytest

from wuerst_demo.errors import UserError
from wuerst_demo.web.shared.view import INTERNAL_ERROR_MESSAGE, ErrorCatcher, View, end_with_error, error_message


def test_only_waiting_and_running_work_is_not_over():
    states = ("waiting", "running", "done", "stopped", "rejected", "failed")
    assert [state for state in states if not View(state, "").over] == ["waiting", "running"]


def test_a_catcher_keeps_the_error_of_its_block():
    with ErrorCatcher() as caught:
        raise ValueError("wrong")
    assert str(caught.error) == "wrong"
    with ErrorCatcher() as caught:
        pass
    assert caught.error is None


def test_a_catcher_lets_the_end_of_a_generator_through():
    with pytest.raises(GeneratorExit), ErrorCatcher():
        raise GeneratorExit


def test_a_user_error_keeps_its_message():
    error = UserError("{count} pictures are too many.", count=9)
    assert error_message(error) is error.message
    view = end_with_error(View("running", "", 0.5), error)
    assert (view.state, view.message, view.fraction) == ("rejected", "9 pictures are too many.", 0.5)


def test_an_unexpected_error_is_logged_and_its_text_not_shown(caplog):
    view = end_with_error(View("running", "", 0.5), RuntimeError("a fault with /secret/path in it"))
    assert (view.state, view.message) == ("failed", INTERNAL_ERROR_MESSAGE)
    assert "/secret/path" in caplog.text
