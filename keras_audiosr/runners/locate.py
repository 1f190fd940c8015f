"""Finds the model for a name or path, for all commands. It imports neither TensorFlow nor Keras."""

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
    """The kinds of models. The value of each kind is its name in messages."""

    PRESET = "a preset"
    EXPORT = "an exported model"
    TFLITE = "a .tflite file"
    SAVED_MODEL = "a SavedModel"
    RUN = "a run folder"
    CHECKPOINT = "a .keras file"
    SERVER = "a model on a server"


# Kinds that `export` writes, and kinds that Keras can load.
EXPORTED = (Kind.PRESET, Kind.EXPORT)
KERAS = (*EXPORTED, Kind.RUN, Kind.CHECKPOINT)
# Kinds that are a single file, by its suffix; and kinds that are folders, by a file in the folder.
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
        kind: kind of the model.
        name: the name or path that the user gave, for messages.
        path: the folder of a preset, an exported model, a SavedModel or a run; otherwise the file. `None` for a server.
        server: the server, or `None` if the model is in files.
    """

    kind: Kind
    name: str
    path: Path | None = None
    server: Server | None = None

    @property
    def place(self) -> Path:
        """The path of a model in files.

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
            work: beginning of the error message, such as `"a Keras model is loaded from"`.
            fix: end of the error message, which says what to do instead.

        Raises:
            ArtifactError: the model is of another kind.
        """
        if self.kind not in kinds:
            wanted = [kind.value for kind in kinds]
            raise ArtifactError(
                f"{work} {', '.join(wanted[:-1])} or {wanted[-1]}; received {self.name!r}, {self.kind.value}; {fix}"
            )


def locate(model: "str | os.PathLike[str] | Server | Located | None" = None) -> Located:
    """Finds the kind and the place of a model, without opening it.

    A `str` that is the name of a preset always refers to the model that comes with the package. If the working
    directory has a file or folder of this name too, a warning explains that it must be written as `./NAME`. A path
    object (`pathlib.Path`) refers to the file or folder if it exists.

    Args:
        model: one of
            - the name of a preset, or `None` for the default preset;
            - the folder of an exported model, which contains `metadata.json`, or a `.tflite` file in it;
            - the folder of a SavedModel, which contains `saved_model.pb`;
            - the folder of a run of `train`, which contains `best.keras`, or a `.keras` file in it;
            - the URL of a model on TensorFlow Serving, or a `serving.Server`;
            - a `Located`, which is returned unchanged.

    Raises:
        ArtifactError: the model is none of these, or it is a preset that ships without weights.
    """
    found = find(model)
    if found is None:
        raise ArtifactError(
            "a model is an exported folder, a SavedModel, a run folder, a .keras file or a preset"
            f" ({', '.join(list_presets())}); received {str(model)!r}, none of them; check the path"
        )
    return found


def find(model: "str | os.PathLike[str] | Server | Located | None") -> Located | None:
    """Finds a model as `locate` does, but returns `None` for anything that is not a model, such as a folder of music.

    Raises:
        ArtifactError: the model is a preset that ships without weights.
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
    # A `str` with a separator is never the name of a preset. `Path("./NAME")` has lost its separator, but a path object
    # that exists is taken for a path.
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
    """Returns the kind of model at a path. Only a file's suffix is checked; the code that opens it reports faults."""
    if path.is_dir():
        return next((kind for mark, kind in _MARKS.items() if (path / mark).exists()), None)
    return _SUFFIXES.get(path.suffix)
