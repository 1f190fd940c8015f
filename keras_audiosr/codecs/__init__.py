"""Lossy twins of lossless audio: what makes them, how they are read back, how they are aligned."""

from .align import Alignment, measure_delay
from .round_trip import decode_aligned, encode_file, read_twin
from .spec import CodecSpec

__all__ = ["Alignment", "CodecSpec", "decode_aligned", "encode_file", "measure_delay", "read_twin"]
