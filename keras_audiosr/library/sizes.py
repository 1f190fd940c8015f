"""How large restored files will be: an estimate before any work."""

from ..files.formats import FORMATS
from ..files.headers import AudioInfo
from ..files.writers import BITS
from .settings import Settings

# Bits of each sample that FLAC, ALAC and WavPack save, in restored music: 6.3 were measured on clips of single
# instruments, and less than 2 on a loud album. What is saved does not depend on the number of bits.
_SAVED_BITS = 4


def estimated_size(info: AudioInfo, suffix: str, settings: Settings) -> int:
    """Bytes that the restored file of a song will have, without tags and pictures; 0 if its length is unknown."""
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
    """A number of bytes as people write it, such as `"68.0 MB"`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
