"""Writes the text files of a bundle: the server's configuration, the files that start it, and the checksums."""

import contextlib
import hashlib
import re
import string
from pathlib import Path

from ..processes.partial_files import atomic_output
from .client import MAX_BATCH
from .signatures import BATCH_SIZES

CHECKSUMS = "SHA256SUMS"
MODELS_CONFIG = "models.config"
_TEMPLATES = Path(__file__).parent / "templates"
# For each version of TensorFlow, the tag of the image `tensorflow/serving` that is assumed to serve its SavedModels. It
# is the last release of tensorflow-serving-api on PyPI, which has the same number. The images were not tested.
ASSUMED_TAGS = {
    "2.16": "2.16.1", "2.17": "2.17.1", "2.18": "2.18.1", "2.19": "2.19.1", "2.20": "2.20.0", "2.21": "2.21.0",
}  # fmt: skip
_REPOSITORY = "tensorflow/serving"
# The name of an image with a tag, a digest or both. A registry in it may have a port.
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?(:[\w][\w.-]*|@sha256:[0-9a-f]{64}|:[\w][\w.-]*@sha256:[0-9a-f]{64})"
)
_FLAGS = (
    "--port=8500",
    "--rest_api_port=8501",
    "--model_config_file=/bundle/models.config",
    "--model_config_file_poll_wait_seconds=30",
    # Without this flag a server with labels does not start, because it reads them before any version is loaded.
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_batching=true",
    "--batching_parameters_file=/bundle/batching.config",
    "--monitoring_config_file=/bundle/monitoring.config",
)


class _Template(string.Template):
    """Templates with placeholders `@@{name}`, because `$` has another meaning in shell, YAML and protobuf text."""

    delimiter = "@@"


def write_configurations(folder: Path, facts: dict, tensorflow: str, package: str, image: str | None = None) -> None:
    """Writes all files of a new bundle except the model.

    Args:
        folder: the bundle.
        facts: the values that the model's `describe` signature returns.
        tensorflow: version of TensorFlow that wrote the SavedModel.
        package: version of this package.
        image: image of the server with its tag or digest, for CPU and GPU. If `None`, the image is chosen by
            `image_tag`.
    """
    tag, exact = image_tag(tensorflow)
    note = "which was set with `--image`"
    if image is None:
        note = "which is assumed to match and was not tested"
        if not exact:
            note = f"the nearest known tag for TensorFlow {tensorflow}, {note}"
    names = facts | {
        "model": facts["name"],
        # Names in Kubernetes must be DNS labels.
        "service": facts["name"].replace("_", "-").replace(".", "-").lower(),
        "image": image or f"{_REPOSITORY}:{tag}",
        "gpu_image": image or f"{_REPOSITORY}:{tag}-gpu",
        "image_note": f", {note}",
        "tensorflow": tensorflow,
        "package": package,
        "max_batch": MAX_BATCH,
        "batch_sizes": "\n".join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES),
        "sizes_text": ", ".join(map(str, BATCH_SIZES)),
        "flags": " ".join(_FLAGS),
        "compose_flags": "\n".join(f"      - {flag}" for flag in _FLAGS),
        "kubernetes_flags": "\n".join(f"            - {flag}" for flag in _FLAGS),
    }
    for template in sorted(path for path in _TEMPLATES.rglob("*") if path.is_file()):
        target = folder / template.relative_to(_TEMPLATES)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_Template(template.read_text("utf-8")).substitute(names), "utf-8")
    with contextlib.suppress(OSError):  # some shares have no permissions; 'bash ready.sh' works without them
        (folder / "ready.sh").chmod(0o755)


def image_tag(tensorflow: str) -> tuple[str, bool]:
    """Returns a tag of the image `tensorflow/serving` for a version of TensorFlow, and whether it is of that version.

    A version that is not in the table gets the nearest older tag, or else the oldest one, because a guessed tag might
    not exist.
    """

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split(".")[:2])

    older = [minor for minor in ASSUMED_TAGS if number(minor) <= number(tensorflow)]
    minor = max(older or [min(ASSUMED_TAGS, key=number)], key=number)
    return ASSUMED_TAGS[minor], number(minor) == number(tensorflow)


def is_image(text: str) -> bool:
    """Returns whether a text names an image with a tag or digest, without characters special to YAML or a shell."""
    return _IMAGE.fullmatch(text) is not None


def write_checksums(folder: Path) -> None:
    """Writes `SHA256SUMS` for all files of a bundle, in the format of `sha256sum -c`."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path.as_posix()}\n"
        for path in files
        # Files that another process is still writing do not belong to the bundle yet.
        if path.name != CHECKSUMS and not any(part.endswith(".partial") for part in path.parts)
    ]
    with atomic_output(folder / CHECKSUMS) as partial:
        partial.write_text("".join(lines), "utf-8")
