"""Every error that a person is meant to read, in one tree.

    WuerstError
    ├── UserError                one request or one file cannot be served; the program goes on
    │   ├── InvalidRequest       a value of a request is missing, of the wrong kind or out of range
    │   ├── PromptError          a prompt cannot be read as the weighting syntax it uses
    │   ├── MetadataError        a file does not hold a request that can be brought back
    │   ├── StorageError         a picture cannot be written where it should go
    │   ├── Busy                 there is as much to do already as is taken on; come back later
    │   └── Cancelled            the request was stopped before its end
    │       └── Abandoned        so it was since nobody had read of it for too long
    └── SetupError               the program cannot start as it was asked to; it ends with this one line
        ├── SettingsError        an option or an environment variable is wrong
        ├── CheckpointError      a checkpoint is missing, incomplete, damaged or of another kind
        └── PlacementError       the device, data type or memory asked for is not to be had

    DeviceLost                   the device has failed; ends what was drawn on it, told to people as a UserError

Messages are one line: what is wrong, then what to do about it. They never quote a prompt. Anything that is not a
WuerstError is a fault of ours and keeps its traceback.
"""


class WuerstError(Exception):
    """Base of all errors that are shown as they are: `str(error)` is one line and names the remedy."""


class UserError(WuerstError):
    """One request or one file cannot be served; the next one can."""


class InvalidRequest(UserError):
    """A value of a request is missing, of the wrong kind or out of range.

    `field` is the name of the field of `Request` at fault, or "" where it is not one field.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class PromptError(UserError):
    """A prompt cannot be read as the weighting syntax it uses."""


class MetadataError(UserError):
    """A file does not hold a request that can be brought back."""


class StorageError(UserError):
    """A picture cannot be written where it should go."""


class Busy(UserError):
    """There is as much to do already as is taken on; come back later.

    `wait` is in how many seconds there may be room again, None where unknown.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Cancelled(UserError):
    """The request was stopped before its end."""


class Abandoned(Cancelled):
    """The request was stopped before its end since nobody had read of it for too long."""


class DeviceLost(Exception):
    """The device has failed in a way that what was computed on it, and what would be, cannot be trusted.

    Not meant for people: an engine ends what it draws, with a reason of its own, and asks the device again.
    """


class SetupError(WuerstError):
    """The program cannot start as it was asked to."""


class SettingsError(SetupError):
    """An option or an environment variable is wrong."""


class CheckpointError(SetupError):
    """A checkpoint is missing, incomplete, damaged or of another kind."""


class PlacementError(SetupError):
    """The device, data type or memory asked for is not to be had."""
