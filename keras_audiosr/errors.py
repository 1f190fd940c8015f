"""The exceptions this package raises on purpose.

Each message is one line: the rule, what was received, the nearest fix. The
command line prints it as it is and leaves with `exit_code`; no traceback
reaches a user for something that a user can mend.
"""

__all__ = [
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


class AudioSRError(Exception):
    """Base of every error a user can mend."""

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
