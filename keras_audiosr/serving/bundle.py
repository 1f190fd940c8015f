"""The text files of a bundle: the server's configurations, what starts it, and the checksums."""

import hashlib
import string
from pathlib import Path

from ..audio.files import atomic_output
from .client import MAX_BATCH
from .signatures import BATCH_SIZES

CHECKSUMS = "SHA256SUMS"
MODELS_CONFIG = "models.config"
_TEMPLATES = Path(__file__).parent / "templates"
# The last release of the model server for each TensorFlow; a SavedModel is at home in the TensorFlow that wrote it.
_IMAGES = {"2.16": "2.16.1", "2.17": "2.17.1", "2.18": "2.18.1", "2.19": "2.19.1"}
_FLAGS = (
    "--port=8500",
    "--rest_api_port=8501",
    "--model_config_file=/bundle/models.config",
    "--model_config_file_poll_wait_seconds=30",
    # Without it a server refuses to start with labels: nothing is loaded yet when it reads them.
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_batching=true",
    "--batching_parameters_file=/bundle/batching.config",
    "--monitoring_config_file=/bundle/monitoring.config",
)


class _Template(string.Template):
    """`@@{name}`: shell, YAML and protobuf's text format mean other things by `$`."""

    delimiter = "@@"


def write_configurations(folder: Path, facts: dict, tensorflow: str, package: str) -> None:
    """Writes everything but the model into a new bundle.

    Args:
        folder: the bundle.
        facts: what the model's `describe` tells.
        tensorflow: version of TensorFlow that wrote the SavedModel.
        package: version of this package.
    """
    names = facts | {
        "model": facts["name"],
        # Kubernetes' names are DNS labels.
        "service": facts["name"].replace("_", "-").replace(".", "-").lower(),
        "image": image_tag(tensorflow),
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
    (folder / "ready.sh").chmod(0o755)


def image_tag(tensorflow: str) -> str:
    """The tag of the `tensorflow/serving` image for a version of TensorFlow."""
    minor = ".".join(tensorflow.split(".")[:2])
    return _IMAGES.get(minor, f"{minor}.0")


def write_checksums(folder: Path) -> None:
    """Writes `SHA256SUMS` of all files of a bundle, as `sha256sum -c` reads it."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path.as_posix()}\n"
        for path in files
        # What another process is about to finish is not of the bundle yet.
        if path.name != CHECKSUMS and not any(part.endswith(".partial") for part in path.parts)
    ]
    with atomic_output(folder / CHECKSUMS) as partial:
        partial.write_text("".join(lines), "utf-8")
