"""Errors shown to users, in one tree.

    WuerstError
    ├── UserError                one request or file cannot be processed; the program continues
    │   ├── InvalidRequest       a value of a request is missing, of the wrong type or out of range
    │   ├── PromptError          a prompt has invalid weighting syntax
    │   ├── MetadataError        a file contains no settings that can be restored
    │   │   └── ImageFileError   it is no picture, damaged, or cannot be read
    │   ├── StorageError         a picture cannot be written
    │   ├── QueueFull            the queue is full; retry later
    │   ├── OutOfMemory          the device does not have enough memory for the request
    │   ├── Unavailable          the device has failed, or the program is closing
    │   └── Cancelled            the request was stopped before its end
    │       └── Abandoned        its client was disconnected for too long
    └── SetupError               the program cannot start as requested; it ends with this line
        ├── SettingsError        an option or an environment variable is invalid
        ├── CheckpointError      a checkpoint is missing, incomplete, damaged or of another kind
        └── PlacementError       the requested device, dtype or memory is not available

    DeviceLost                   the device has failed; reported to clients as a UserError

Messages are one line: the problem, then the remedy. They never quote a prompt. Any other exception is a bug and keeps
its traceback.
"""

from wuerst_demo.messages import message


class WuerstError(Exception):
    """Base of the errors shown to users: `str(error)` is one line in English that names the remedy.

    Raise one with a literal template and what varies: `UserError("{count} pictures are too many.", count=9)`.
    """

    def __init__(self, template: str = "", /, **parameters: object) -> None:
        super().__init__(message(template, **parameters) if parameters else template)

    @property
    def message(self) -> str:
        """The text as it was raised, which the page can translate: a `Message`, or a template without parameters."""
        text: str = self.args[0]
        return text


class UserError(WuerstError):
    """One request or file cannot be processed; the program continues."""


class InvalidRequest(UserError):
    """A value of a request is missing, of the wrong type or out of range."""

    def __init__(self, template: str, /, field: str = "", **parameters: object) -> None:
        super().__init__(template, **parameters)
        self.field = field
        """Field of `Request`; "" where it is not a single one."""


class PromptError(UserError):
    """A prompt has invalid weighting syntax."""


class MetadataError(UserError):
    """A file contains no settings that can be restored."""

    def __init__(self, template: str, /, text: str = "", **parameters: object) -> None:
        super().__init__(template, **parameters)
        self.text = text
        """Text of the file that the user can read and copy; "" where there is none."""


class ImageFileError(MetadataError):
    """A file is no picture, damaged, or cannot be read."""


class StorageError(UserError):
    """A picture cannot be written."""


class QueueFull(UserError):
    """The queue is full; retry later."""

    def __init__(self, template: str, /, wait_s: float | None = None, **parameters: object) -> None:
        super().__init__(template, **parameters)
        self.wait_s = wait_s
        """Expected time until there is room; None where unknown."""


class OutOfMemory(UserError):
    """The device does not have enough memory for the request."""


class Unavailable(UserError):
    """The device has failed, or the program is closing."""


class Cancelled(UserError):
    """The request was stopped before its end."""


class Abandoned(Cancelled):
    """The request was stopped because its client was disconnected for too long."""


class DeviceLost(Exception):
    """The device has failed: neither past nor future results are reliable.

    Not shown to users: an engine ends its requests with a reason of its own, and probes the device again.
    """


class SetupError(WuerstError):
    """The program cannot start as requested."""


class SettingsError(SetupError):
    """An option or an environment variable is invalid."""


class CheckpointError(SetupError):
    """A checkpoint is missing, incomplete, damaged or of another kind."""


class PlacementError(SetupError):
    """The requested device, dtype or memory is not available."""
