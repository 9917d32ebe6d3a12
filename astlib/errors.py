"""Every error that astlib raises on purpose. The message says what was expected, what was found and what to do.

All of them are `AstlibError`, and each is also the built-in exception that a reader would expect: a wrong argument is a
`ValueError`, a missing file a `FileNotFoundError`. The command line prints an `AstlibError` as one line; any other
exception is a bug in astlib and keeps its traceback.

Chapter: book/how_to_run.md
"""


class AstlibError(Exception):
    """Base class of the errors that astlib raises on purpose."""


class InvalidInput(AstlibError, ValueError):
    """An argument, a recipe or the content of a file that cannot be used."""


class NotFound(AstlibError, FileNotFoundError):
    """A file or a folder that is not there."""


class MissingPackage(AstlibError, ImportError):
    """An optional package that is needed and not installed. The message says how to install it."""


class AudioError(InvalidInput):
    """A sound file that cannot be used. The message names the file and says what is wrong and what to do.

    Args:
        message: the text of the error.
        kind: "missing" (no such file), "empty" (no sound in it) or "unreadable" (everything else).

    Attributes:
        kind: as given.
    """

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message, kind)  # both: unpickling, on the way out of a loader's worker, calls with `args`
        self.kind = kind

    def __str__(self) -> str:
        return str(self.args[0])


class AudioWarning(UserWarning):
    """A sound file that can be used and is probably not what it should be. The message names the file."""


class DataNotFound(NotFound):
    """A data set that is missing or incomplete. The message says what is missing and how to get it."""


class DataIncomplete(DataNotFound):
    """More clips of a data set are unusable than `require` allows. The message has counts and examples."""


class WeightsNotFound(NotFound):
    """Pretrained weights that are neither on this machine nor available from the hub."""


class FetchError(AstlibError, RuntimeError):
    """A download that did not arrive, or that is not what it should be. The message says what to do."""


class ConnectionLost(FetchError):
    """The connection failed during a download. The bytes that arrived are kept."""


class CheckpointError(AstlibError, RuntimeError):
    """A checkpoint or a file of scores that exists but cannot be used. The message says which one and why."""


class Diverged(AstlibError, FloatingPointError):
    """A network whose outputs are not finite numbers."""


class FolderInUse(AstlibError, RuntimeError):
    """A folder that another process writes to. The message says which process, and since when."""


class TrainingStopped(AstlibError, RuntimeError):
    """A run that cannot go on. The message says at which step, why, and what was saved."""


class Interrupted(TrainingStopped):
    """A run that was asked to stop. The message says how to go on."""
