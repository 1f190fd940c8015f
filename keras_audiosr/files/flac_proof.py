"""Writes exact PCM to FLAC, and verifies the file by comparing its MD5s with the source's."""

import os

import numpy as np
import soundfile

from ..annotations import StrPath
from ..errors import AudioFileError
from .flac_header import streaminfo_md5
from .pcm import Pcm, inspect, pcm_md5

_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}


def flac_writer(path: StrPath, pcm: Pcm) -> soundfile.SoundFile:
    """Opens a FLAC file for writing the blocks of `read_pcm(pcm)`."""
    return soundfile.SoundFile(
        os.fsencode(path), "w", pcm.sample_rate, pcm.channels, _SUBTYPES[pcm.bits], format="FLAC"
    )


def write_block(writer: soundfile.SoundFile, block: np.ndarray) -> None:
    """Writes a block of `read_pcm`.

    Raises:
        AudioFileError: the disk is full, which soundfile reports as a bare AssertionError.
    """
    try:
        writer.write(block)
    except (AssertionError, soundfile.LibsndfileError) as error:
        raise AudioFileError(
            f"the output must be writable; FLAC stopped with {str(error).rstrip('.') or 'a short write'};"
            " check the free space"
        ) from error


def holds(path: StrPath, md5: str) -> bool:
    """Returns whether a file can be decoded to samples with this MD5."""
    try:
        return pcm_md5(inspect(path)) == md5
    except AudioFileError:
        return False


def require_flac(path: StrPath, md5: str, source: StrPath) -> None:
    """Verifies that the declared MD5 of a FLAC and the MD5 of its decoded samples are those of its source.

    Raises:
        AudioFileError: one of them is not `md5`.
    """
    if streaminfo_md5(path) != md5 or not holds(path, md5):
        raise AudioFileError(
            f"a FLAC must hold its source's samples; the one made of {source} does not; check the disk's free space"
        )
