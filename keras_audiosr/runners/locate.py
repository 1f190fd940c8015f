"""Finds the model that a name or path refers to, for all commands. It imports neither TensorFlow nor Keras."""

import dataclasses
import enum
import os
import warnings
from collections.abc import Collection
from pathlib import Path

from ..errors import AmbiguousNameWarning, ArtifactError
from ..presets import DEFAULT_PRESET, bundled_folder, current_name, list_presets
from ..serving import Server, is_server
from .artifact import METADATA
from .checkpoint import CHECKPOINT

SAVED_MODEL_FILE = "saved_model.pb"


class Kind(enum.Enum):
    """What a model can be; the value is its name in messages."""

    PRESET = "a preset"
    EXPORT = "an exported model"
    TFLITE = "a .tflite file"
    SAVED_MODEL = "a SavedModel"
    RUN = "a run folder"
    CHECKPOINT = "a .keras file"
    SERVER = "a model on a server"


# Folders that `export` wrote, and what Keras loads.
EXPORTED = (Kind.PRESET, Kind.EXPORT)
KERAS = (*EXPORTED, Kind.RUN, Kind.CHECKPOINT)
# Kinds that are one file, by its suffix; and kinds that are folders, by a file in them.
_SUFFIXES = {".tflite": Kind.TFLITE, ".keras": Kind.CHECKPOINT}
_MARKS = {METADATA: Kind.EXPORT, SAVED_MODEL_FILE: Kind.SAVED_MODEL, CHECKPOINT: Kind.RUN}
# The runner of each kind: a module beside this one, and a class in it with a class method `open(located, options)`.
# An exported model has a runner for each of its files, and `load.open_runner` chooses one.
OPENED_BY = {
    Kind.SAVED_MODEL: ("saved_model", "SavedModelRunner"),
    Kind.RUN: ("keras", "KerasRunner"),
    Kind.CHECKPOINT: ("keras", "KerasRunner"),
    Kind.SERVER: ("serving", "ServingRunner"),
}


@dataclasses.dataclass(frozen=True)
class Located:
    """A model that was found.

    Attributes:
        kind: what it is.
        name: the name or path that was given, for messages.
        path: the folder of a preset, an exported model, a SavedModel or a run, else the file; `None` for a server.
        server: the served model, where it is one.
    """

    kind: Kind
    name: str
    path: Path | None = None
    server: Server | None = None

    @property
    def place(self) -> Path:
        """The path of a model that has one.

        Raises:
            ArtifactError: the model is on a server.
        """
        if self.path is None:
            raise ArtifactError(f"a model in files is needed; received {self.name!r}, {self.kind.value}; name a path")
        return self.path

    @property
    def checkpoint(self) -> Path:
        """The `.keras` file of a run or a checkpoint."""
        return self.place / CHECKPOINT if self.kind is Kind.RUN else self.place

    def files(self) -> list[Path]:
        """The files that the model consists of, sorted; none for a server."""
        if self.path is None:
            return []
        path = self.path / CHECKPOINT if (self.path / CHECKPOINT).is_file() else self.path
        return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]

    def require(self, kinds: Collection[Kind], work: str, fix: str) -> None:
        """Refuses a model of another kind.

        Args:
            kinds: the accepted kinds.
            work: what is done with the model, such as `"a Keras model is loaded from"`.
            fix: what to do instead.

        Raises:
            ArtifactError: the model is of another kind.
        """
        if self.kind not in kinds:
            wanted = [kind.value for kind in kinds]
            raise ArtifactError(
                f"{work} {', '.join(wanted[:-1])} or {wanted[-1]}; received {self.name!r}, {self.kind.value}; {fix}"
            )


def locate(model: "str | os.PathLike[str] | Server | Located | None" = None) -> Located:
    """Says what a model is and where it lies, without opening it.

    A `str` without a separator that is a preset's name always refers to the model that comes with the package. If the
    working directory has a file or folder of this name too, a warning explains that `./NAME` refers to that. A path
    object (`pathlib.Path`) refers to the file or folder if it exists.

    Args:
        model: one of
            - a preset's name; `None` for the default preset;
            - an exported model, the folder with `metadata.json`, or a `.tflite` file in one;
            - a SavedModel, the folder with `saved_model.pb`;
            - a run of `train`, the folder with `best.keras`, or a `.keras` file in one;
            - the URL of a model on TensorFlow Serving, or a `serving.Server`;
            - a `Located`, which this function returns.

    Raises:
        ArtifactError: none of these, or a preset that ships without weights.
    """
    found = find(model)
    if found is None:
        raise ArtifactError(
            "a model is an exported folder, a SavedModel, a run folder, a .keras file or a preset"
            f" ({', '.join(list_presets())}); received {str(model)!r}, none of them; check the path"
        )
    return found


def find(model: "str | os.PathLike[str] | Server | Located | None") -> Located | None:
    """As `locate`, but returns `None` for what is not a model, such as a folder of music.

    Raises:
        ArtifactError: a preset that ships without weights.
    """
    if isinstance(model, Located):
        return model
    if model is None:
        return Located(Kind.PRESET, DEFAULT_PRESET, bundled_folder(DEFAULT_PRESET))
    if isinstance(model, str) and is_server(model):
        model = Server(model)
    if isinstance(model, Server):
        return Located(Kind.SERVER, model.url, server=model)
    name, path = str(model), Path(model)
    # A `str` with a separator is in no list of presets. `Path("./NAME")` has lost it, but is still a path.
    if current_name(name) in list_presets() and (isinstance(model, str) or not path.exists()):
        return _preset(name, path.exists())
    kind = _kind(path)
    return None if kind is None else Located(kind, name, path)


def _preset(name: str, is_here_too: bool) -> Located:
    other = f"for the {name} in the working directory, name it ./{name}"
    try:
        folder = bundled_folder(name)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; {other}" if is_here_too else str(error)) from error
    if is_here_too:
        warnings.warn(
            f"a preset's bare name is the model that comes with the package; {name!r} is both; {other}",
            AmbiguousNameWarning,
            stacklevel=4,
        )
    return Located(Kind.PRESET, name, folder)


def _kind(path: Path) -> Kind | None:
    """The kind of model at a path. Only a file's suffix is checked; the code that opens it reports its faults."""
    if path.is_dir():
        return next((kind for mark, kind in _MARKS.items() if (path / mark).exists()), None)
    return _SUFFIXES.get(path.suffix)
