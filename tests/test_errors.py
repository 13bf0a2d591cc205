"""The tree of errors is the one in its docstring."""

import re

from wuerst_demo import errors


def test_docstring_shows_every_error_under_its_base():
    shown = {}
    bases = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│ ├└─]*)(\w+)", line)
        if not match:
            continue
        depth = len(match[1]) // 4
        bases[depth:] = [match[2]]
        shown[match[2]] = bases[depth - 1] if depth else "Exception"
    defined = {
        name: thing.__base__.__name__
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }
    assert shown == defined
    assert len(shown) == 17


def test_invalid_request_has_its_field():
    assert errors.InvalidRequest("Width is wrong.", "width").field == "width"
    assert errors.InvalidRequest("Something is wrong.").field == ""
    assert str(errors.InvalidRequest("Width is wrong.", "width")) == "Width is wrong."
