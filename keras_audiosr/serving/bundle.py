"""The text files of a bundle: the server's configuration, the files that start it, and the checksums."""

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
# Version of TensorFlow -> tag of `tensorflow/serving` that is assumed to serve its SavedModels: the last release that
# PyPI has of tensorflow-serving-api, which carries the same number. No image has been run where this was written.
ASSUMED_TAGS = {
    "2.16": "2.16.1", "2.17": "2.17.1", "2.18": "2.18.1", "2.19": "2.19.1", "2.20": "2.20.0", "2.21": "2.21.0",
}  # fmt: skip
_REPOSITORY = "tensorflow/serving"
# A name with a tag, a digest or both; the registry may have a port.
_IMAGE = re.compile(
    r"[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?(:[\w][\w.-]*|@sha256:[0-9a-f]{64}|:[\w][\w.-]*@sha256:[0-9a-f]{64})"
)
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


def write_configurations(folder: Path, facts: dict, tensorflow: str, package: str, image: str | None = None) -> None:
    """Writes everything but the model into a new bundle.

    Args:
        folder: the bundle.
        facts: what the model's `describe` tells.
        tensorflow: version of TensorFlow that wrote the SavedModel.
        package: version of this package.
        image: the server's image with its tag or digest, for CPU and GPU; the one that is assumed when `None`.
    """
    tag, exact = image_tag(tensorflow)
    note = "as `--image` said"
    if image is None:
        note = "which is assumed to fit and was not run where this bundle's configurations were written"
        if not exact:
            note = f"the nearest that is known to TensorFlow {tensorflow}, {note}"
    names = facts | {
        "model": facts["name"],
        # Kubernetes' names are DNS labels.
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
    with contextlib.suppress(OSError):  # a share without rights; 'sh ready.sh' runs it all the same
        (folder / "ready.sh").chmod(0o755)


def image_tag(tensorflow: str) -> tuple[str, bool]:
    """The tag of the `tensorflow/serving` image for a version of TensorFlow, and whether it is of that version.

    A version that the table lacks gets the nearest older tag, or the oldest: a tag that nobody has seen is not made up.
    """

    def number(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split(".")[:2])

    older = [minor for minor in ASSUMED_TAGS if number(minor) <= number(tensorflow)]
    minor = max(older or [min(ASSUMED_TAGS, key=number)], key=number)
    return ASSUMED_TAGS[minor], number(minor) == number(tensorflow)


def is_image(text: str) -> bool:
    """Whether it names one image: with a tag or a digest, and nothing that YAML or a shell would take apart."""
    return _IMAGE.fullmatch(text) is not None


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
