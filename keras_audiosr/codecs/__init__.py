"""Makes lossy versions ("twins") of lossless audio: encodes them, decodes them and aligns them."""

from .align import Alignment, measure_delay
from .round_trip import encode_file
from .spec import CodecSpec

__all__ = ["Alignment", "CodecSpec", "encode_file", "measure_delay"]
