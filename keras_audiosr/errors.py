"""The exceptions this package raises on purpose.

Each message is one line: the rule, what was received, the nearest fix. The
command line prints it as it is and leaves with `exit_code`; no traceback
reaches a user for something that a user can fix.
"""

__all__ = [
    "AmbiguousNameWarning",
    "ArtifactError",
    "AudioFileError",
    "AudioSRError",
    "ManifestError",
    "OutputExistsError",
    "PairError",
    "ServerError",
    "TrustWarning",
    "UsageError",
]


def how_to_install(extra: str) -> str:
    """The commands that install an extra of this package, which is published nowhere: from a clone or from a wheel.

    Args:
        extra: one of `setup.cfg`, or several with commas between them.
    """
    return f"in the clone run pip install '.[{extra}]', or with the wheel pip install 'WHEEL[{extra}]'"


def cause(error: BaseException) -> str:
    """What an error says, without the path that the operating system or libsndfile adds: our messages name it once."""
    told = error.strerror if isinstance(error, OSError) else getattr(error, "error_string", "")
    return str(told or error)


def on_one_line(error: BaseException) -> str:
    """What the error of another package says, which may be pages long: on one line, and cut to 300 characters."""
    return " ".join(str(error).split())[:300]


def naming(path: str, message: str) -> str:
    """A message that names what it is about: the path is put before it, unless it is in it."""
    return message if path in message else f"{path}: {message}"


class AudioSRError(Exception):
    """Base of every error a user can fix."""

    exit_code = 1


class UsageError(AudioSRError):
    """An argument, option, preset or spec that cannot be understood."""

    exit_code = 2


class OutputExistsError(AudioSRError):
    """The output is already there and nobody asked to replace it."""

    exit_code = 3


class AudioFileError(AudioSRError):
    """A file that cannot be read, or written, as audio."""


class ManifestError(AudioSRError):
    """A manifest that is missing, malformed, or does not fit the request."""


class PairError(AudioSRError):
    """A lossy file that cannot be aligned with its lossless source."""


class ArtifactError(AudioSRError):
    """A checkpoint or exported model that is missing, damaged or unsuited."""


class ServerError(AudioSRError):
    """A server that cannot be reached, refuses, or answers something else than was asked.

    Args:
        message: one line.
        code: gRPC's name of the status, such as `"UNAVAILABLE"`; of HTTP statuses the one that means the same.
    """

    def __init__(self, message: str, code: str = "UNKNOWN"):
        super().__init__(message)
        self.code = code


class TrustWarning(UserWarning):
    """Something is run that can do what a program can, because the user said so."""


class AmbiguousNameWarning(UserWarning):
    """A name means one thing by rule, and something else of that name is there too."""


class NewWeightsWarning(UserWarning):
    """A few arrays of a network do not fit the weights that training was told to begin with, and begin anew."""
