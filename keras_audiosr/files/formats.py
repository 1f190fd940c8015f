"""Describes the output formats and their limits, and lists the suffixes of music files."""

import dataclasses
from typing import Literal

from ..errors import AudioFileError
from ..sound import layouts

MEASUREMENTS = "measurements"


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Something in a song that its output lacks.

    Attributes:
        what: its kind. `"measurements"` were made on the source's own samples (ReplayGain). No format receives them,
            because they would be wrong for the output. Everything else is missing because this format cannot hold it.
        detail: what it was and why it is missing, as a part of a sentence.
    """

    what: Literal["channels", "tags", "chapters", "pictures", "tracks", "measurements"]
    detail: str

    @property
    def is_loss(self) -> bool:
        """Whether the output lacks information that would apply to it. `--strict` refuses such an output."""
        return self.what != MEASUREMENTS


@dataclasses.dataclass(frozen=True)
class Format:
    """An output format.

    Attributes:
        name: its name in messages.
        container: libsndfile's name of the format; empty where FFmpeg writes it.
        encoder: FFmpeg's arguments for it; empty where libsndfile writes it.
        floating: whether it holds floating-point samples.
        layouts: the layout for each number of channels, where the number determines it; empty where the format stores
            the layout.
        masks: bits of a channel mask that it can store.
        most_channels: largest number of channels.
        mixes_down: whether more channels than it holds are mixed down; otherwise they are refused.
        largest_picture: size limit of a picture in bytes.
        pictures: largest number of pictures.
        chapters: whether it holds chapters.
    """

    name: str
    container: str = ""
    encoder: tuple[str, ...] = ()
    floating: bool = False
    layouts: tuple[str, ...] = ()
    masks: int = 0x3FFFF
    most_channels: int = 64
    mixes_down: bool = False
    largest_picture: int = 1 << 28
    pictures: int = 1 << 16
    chapters: bool = True


# FLAC's channel assignments (RFC 9639, section 9.1.3), where no comment says otherwise. Of five and six channels the
# last two are "back/surround": FFmpeg reads them as side.
_FLAC_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0(side)", "5.1(side)", "6.1", "7.1")
_FLAC = Format(
    # A metadata block holds under 16 MiB (section 8.1), and a picture's has a description before it.
    "FLAC", container="FLAC", most_channels=8, largest_picture=(1 << 24) - 4096,
)  # fmt: skip
_AIFF = Format("AIFF", container="AIFF", floating=True)
FORMATS: dict[str, Format] = {
    ".flac": _FLAC,
    # WAVEFORMATEXTENSIBLE has 32 bits, and FFmpeg uses two of them for a stereo downmix.
    ".wav": Format("WAV", container="WAV", floating=True, masks=0x6003FFFF),
    ".aiff": _AIFF,
    ".aif": _AIFF,
    ".m4a": Format(
        "M4A", encoder=("-c:a", "alac", "-sample_fmt", "s32p"), most_channels=8,
        # ALACAudioTypes.h: a decoder only knows the number of channels.
        layouts=("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1(wide)"),
    ),
    ".wv": Format("WavPack", encoder=("-c:a", "wavpack", "-sample_fmt", "s32p")),
    ".mp3": Format(
        "MP3", encoder=("-c:a", "libmp3lame", "-b:a", "320k"), layouts=("mono", "stereo"), most_channels=2,
        mixes_down=True,
    ),
}  # fmt: skip

# Formats that libsndfile reads and writes without loss and without FFmpeg.
LOSSLESS_SUFFIXES = tuple(suffix for suffix, form in FORMATS.items() if form.container)
# The suffixes that a folder is searched for, so that covers and logs are skipped: all that `restore` writes, and what
# FFmpeg reads. A file that the user names directly may have any suffix.
MUSIC_SUFFIXES = frozenset(FORMATS) | frozenset(
    ".mp2 .m4b .mp4 .aac .ogg .oga .opus .spx .wave .aifc .au .caf .w64 .rf64 .wma .asf .ape .mpc .tta .tak .mka .webm"
    " .ac3 .eac3 .dts .amr .3gp .ra .dsf .dff".split()
)


def held_layout(suffix: str, channels: int, layout: str) -> tuple[str, LeftOut | None]:
    """Returns the layout of an output, which is the song's own if the format can store it.

    Args:
        suffix: a key of `FORMATS`, in any case.
        channels: the song's number of channels.
        layout: the song's layout, by FFmpeg's name; empty or `"unknown"` if the file does not declare one.

    Returns:
        The layout, which is empty if none is stored; and a `LeftOut` if the format cannot store the song's layout, or
        `None`.

    Raises:
        AudioFileError: the format holds fewer channels than the song has.
    """
    form = FORMATS[suffix.lower()]
    known = len(layouts.speakers(layout)) == channels
    called = layout if known else f"{channels} channels without a layout"
    if channels > form.most_channels:
        if not form.mixes_down:
            raise AudioFileError(
                f"{form.name} holds up to {form.most_channels} channels; received {called}; try --format wav"
            )
        held = form.layouts[-1]
        return held, LeftOut("channels", f"{form.name} holds {held}, so {called} was mixed down")
    if not known and channels in layouts.USUAL:
        return layouts.USUAL[channels], None
    if form.layouts:
        held = form.layouts[channels - 1]
        if layouts.same_layout(held, layout):
            return held, None
        return held, LeftOut("channels", f"{form.name} stores {channels} channels only as {held}, not as {called}")
    mask = layouts.layout_mask(layout)
    if known and mask and not mask & ~form.masks:
        return layout, None
    if form is _FLAC:
        return "", LeftOut(
            "channels", f"{form.name} cannot store {called}, so it is read as {_FLAC_LAYOUTS[channels - 1]}"
        )
    if not known and form.container:
        return "", None
    return "", LeftOut("channels", f"{form.name} cannot store {called}, so the output has no channel layout")


def layout_tags(suffix: str, channels: int, layout: str) -> dict[str, list[str]]:
    """Returns the layout tag of a FLAC; empty for other formats, for mono and stereo, and for an unknown layout."""
    usual = layouts.same_layout(layouts.USUAL.get(channels, ""), layout)
    if FORMATS[suffix.lower()] is not _FLAC or usual or not layouts.layout_mask(layout):
        return {}
    return {"WAVEFORMATEXTENSIBLE_CHANNEL_MASK": [f"0x{layouts.layout_mask(layout):04X}"]}
