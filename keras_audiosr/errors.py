"""The exceptions that this package raises for problems that a user can fix.

Each message is one line, which states the rule, what was received, and the nearest fix. The command line prints this
line without a traceback and exits with `exit_code`.
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
    """Returns advice on how to install an extra from a clone or from a wheel. The package is not on PyPI.

    Args:
        extra: name of an extra in `setup.cfg`, or several names separated by commas.
    """
    return f"in the clone run pip install '.[{extra}]', or with the wheel pip install 'WHEEL[{extra}]'"


def cause(error: BaseException) -> str:
    """Returns an error's message without the path that the operating system or libsndfile adds.

    The messages of this package name the path themselves.
    """
    told = error.strerror if isinstance(error, OSError) else getattr(error, "error_string", "")
    return str(told or error)


def on_one_line(error: BaseException) -> str:
    """Returns the message of another package's error on one line, cut to 300 characters. It may be pages long."""
    return " ".join(str(error).split())[:300]


def naming(path: str, message: str) -> str:
    """Puts the path before a message, unless the message already contains it."""
    return message if path in message else f"{path}: {message}"


class AudioSRError(Exception):
    """Base class of all errors that a user can fix."""

    exit_code = 1


class UsageError(AudioSRError):
    """Raised for an invalid argument, option, preset or codec spec."""

    exit_code = 2


class OutputExistsError(AudioSRError):
    """Raised if an output exists and was not to be overwritten."""

    exit_code = 3


class AudioFileError(AudioSRError):
    """Raised for a file that cannot be read or written as audio."""


class ManifestError(AudioSRError):
    """Raised for a manifest that is missing or malformed, or that does not fit the request."""


class PairError(AudioSRError):
    """Raised for a lossy file that cannot be aligned with its lossless source."""


class ArtifactError(AudioSRError):
    """Raised for a preset, checkpoint or exported model that is missing, damaged or unsuitable."""


class ServerError(AudioSRError):
    """Raised for a model server that cannot be reached, refuses a request, or returns an unexpected answer.

    Args:
        message: one line.
        code: gRPC's name of the status, such as `"UNAVAILABLE"`. An HTTP status is translated to the gRPC status of
            the same meaning.
    """

    def __init__(self, message: str, code: str = "UNKNOWN"):
        super().__init__(message)
        self.code = code


class TrustWarning(UserWarning):
    """Warns that a SavedModel, which can execute any operation, is run because the user trusts it."""


class AmbiguousNameWarning(UserWarning):
    """Warns that a name is taken as a bundled preset although a file or folder has the same name."""


class NewWeightsWarning(UserWarning):
    """Warns that some arrays of the initial weights do not fit the network and are not used."""
