"""Estimates the sizes of restored files before any work begins."""

from ..files.formats import FORMATS
from ..files.headers import AudioInfo
from ..files.writers import BITS
from .settings import Settings

# Average number of bits per sample that FLAC, ALAC and WavPack save in restored music. Clips of single instruments had
# 6.3, and a loud album less than 2. The number does not depend on the sample format.
_SAVED_BITS = 4


def estimated_size(info: AudioInfo, suffix: str, settings: Settings) -> int:
    """Estimates the size in bytes of a restored file, without tags and pictures; 0 if the song's length is unknown."""
    form = FORMATS[suffix.lower()]
    if "-b:a" in form.encoder:
        kilobits = int(form.encoder[form.encoder.index("-b:a") + 1].removesuffix("k"))
        return round(info.duration * 1000 * kilobits / 8)
    subtype = settings.sample_format(suffix)
    bits = BITS.get(subtype, 32)
    if form.encoder or form.container == "FLAC":
        bits -= _SAVED_BITS
    return round(info.duration * settings.output_rate(info.sample_rate) * info.channels * bits / 8)


def in_words(size: int) -> str:
    """Formats a number of bytes for people, such as `"68.0 MB"`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
