"""Finds the public names of the package in its sources, without importing TensorFlow."""

from pathlib import Path

import griffe

import keras_audiosr

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "keras_audiosr"

# Page -> its subject, in the order of the navigation.
MODULES = {
    "runners": "run a trained model on an array or a song",
    "models": "the networks",
    "layers": "Keras layers of the networks",
    "losses": "the losses that training minimizes",
    "measures.metrics": "how far a restored signal is from the lossless one",
    "measures.bands": "whether the highs are as loud as they should be",
    "measures.highs": "whether the highs buzz or click",
    "measures.stereo": "whether the stereo image is as wide as it should be",
    "measures.songs": "all of these measures for whole songs",
    "training.optimizers": "optimizers as presets describe them",
    "training.callbacks": "what makes it possible to kill a training run at any moment",
    "presets.settings": "the settings of a preset",
    "datasets": "windows of pairs of lossless and lossy files",
    "codecs": "making lossy files and aligning them",
}


def public_names(module: griffe.Module) -> dict[str, str]:
    """Returns the full path of the definition of each public name.

    The public names are those that `__all__` states. If it is missing or partly computed, they also include the names
    that a package's `__init__` imports from inside the package, or the functions and classes that a module defines.
    """
    exports = module.exports or []
    stated = {name for name in exports if isinstance(name, str)}
    complete = bool(exports) and len(stated) == len(exports)
    names = {}
    for name, member in module.members.items():
        if member.is_alias:
            public = member.target_path.startswith(f"{module.path}.")
        elif member.is_module:
            # After `from .rip import rip`, the name `rip` is the function and no longer the module.
            public = name in member.members and member.members[name].is_function
            member = member.members[name] if public else member
        else:
            public = not stated and (member.is_function or member.is_class)
        if name in stated or (public and not complete and not name.startswith("_")):
            names[name] = _definition(module, member)
    for name in sorted(stated - names.keys()):
        names[name] = _find(module, name)
    return names


def _definition(module: griffe.Module, member: griffe.Object | griffe.Alias) -> str:
    if not member.is_alias:
        return member.path
    try:
        return member.final_target.path
    except griffe.AliasResolutionError:
        package, _, name = member.target_path.rpartition(".")
        return _find(module.modules_collection[package], name)


def _find(module: griffe.Module, name: str) -> str:
    """Returns the path of a name that is imported on first use."""
    for child in module.modules.values():
        if name in child.members and not child.members[name].is_alias:
            return child.members[name].path
    raise SystemExit(f"names.py: {module.path}.{name} is public, but no module of {module.path} defines it")


def load() -> dict[str, dict[str, str]]:
    """Returns page -> public name -> full path; the page of the package's own names comes first."""
    package = griffe.load(PACKAGE, search_paths=[str(ROOT)])
    own = public_names(package)
    pages = {PACKAGE: {name: own[name] for name in keras_audiosr.__all__}}
    return pages | {name: public_names(package[name]) for name in MODULES}
