"""A Fourier transform with finer time resolution, on the grid of a coarser one.

A *row* is one hop of the long transform. The frames of the short transform are one row long, and `SUBFRAMES` of them
begin in each row. Their spectra are stored together, one group for each frame of the long transform, so a network with
one output per long frame can read and write the short frames too.
"""

from typing import Any

import keras
from keras import ops

from ..annotations import Shape, StreamingStep, Tensor
from .fourier import STFT, InverseSTFT

# Number of short frames that begin in each row. With 2 they overlap by half. An overlap of three quarters was tried: it
# gave the same figures at twice the cost.
SUBFRAMES = 2


@keras.saving.register_keras_serializable(package="keras_audiosr")
class SubframeSTFT(STFT):
    """Transforms a waveform to the complex spectra of short frames, `SUBFRAMES` of them per row.

    Frame `i` of an `STFT(overlap * row_length, row_length)` has its centre at the beginning of row
    `i - overlap / 2 + 1` of the signal. This layer returns at the same index the short frames that begin in the row
    before. The centre of the second one coincides with that of the long frame, and the centre of the first one lies
    half a row before it.

    Args:
        row_length: samples per row and per short frame, a power of two.
        overlap: rows per frame of the long transform, 2 or 4.
        folded: as for `STFT`.

    Input shape:
        `(batch, time, 1)`, where `time` is a multiple of `row_length`.

    Output shape:
        Two tensors, real and imaginary part, `(batch, frames, 2, row_length / 2)` each, where
        `frames = time / row_length + overlap - 1`. DC and Nyquist share bin 0, as in `STFT`.
    """

    def __init__(self, row_length: int = 512, overlap: int = 4, folded: bool = False, **kwargs: Any):
        super().__init__(row_length, row_length // SUBFRAMES, folded, **kwargs)
        self.half = overlap // 2

    def call(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self._spectra(ops.pad(self._rows(inputs), ((0, 0), (self.half, self.half), (0, 0))))

    def stream(self, step: StreamingStep, waveform: Any) -> Any:
        """Applies the layer to a stream, one hop at a time (`keras_audiosr.streaming`)."""
        rows = step.by_rows(self._rows, step.on_grid(waveform, self.frame_length))
        # The long frame ends with the newest row. Its short frames end `half - 1` rows earlier.
        return step.window(lambda rows: self._spectra(rows[:, : 1 - self.half or None]), rows, self.half)

    def _rows(self, waveform: Any) -> Tensor:
        return ops.reshape(waveform, (ops.shape(waveform)[0], -1, self.frame_length))

    def _spectra(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Transforms the short frames that begin in each row except the last."""
        batch = ops.shape(rows)[0]
        real, imag = self._transform(ops.reshape(rows, (batch, -1, self.hop_length)))
        # The last frame is the one that begins in the last row.
        shape = (batch, -1, SUBFRAMES, self.frame_length // 2)
        return ops.reshape(real[:, :-1], shape), ops.reshape(imag[:, :-1], shape)

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, ...]:
        batch, time, _ = input_shape
        frames = None if time is None else time // self.frame_length + 2 * self.half - 1
        shape = (batch, frames, SUBFRAMES, self.frame_length // 2)
        return shape, shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["hop_length"]
        return {"row_length": config.pop("frame_length"), "overlap": 2 * self.half, **config}


@keras.saving.register_keras_serializable(package="keras_audiosr")
class InverseSubframeSTFT(InverseSTFT):
    """Transforms the complex spectra of short frames to a waveform.

    This is the exact inverse of `SubframeSTFT` with the same arguments.

    Args:
        row_length: samples per row and per short frame, a power of two.
        overlap: rows per frame of the long transform, 2 or 4.
        folded: as for `STFT`.

    Input shape:
        Two tensors, real and imaginary part, `(batch, frames, 2, row_length / 2)` each, as `SubframeSTFT` returns them.

    Output shape:
        `(batch, time, 1)`, where `time = (frames - overlap + 1) * row_length`.
    """

    def __init__(self, row_length: int = 512, overlap: int = 4, folded: bool = False, **kwargs: Any):
        super().__init__(row_length, row_length // SUBFRAMES, folded, **kwargs)
        self.half = overlap // 2

    def call(self, real: Tensor, imag: Tensor) -> Tensor:
        unused = self.half - 1
        real, imag = (part[:, unused : -unused or None] for part in (real, imag))
        return self._rows(self._frames(*self._in_order(real, imag)))

    def stream(self, step: StreamingStep, real: Any, imag: Any) -> Any:
        """Applies the layer to a stream, one hop at a time (`keras_audiosr.streaming`)."""

        def frames_of_rows(real: Tensor, imag: Tensor) -> Tensor:
            frames = self._frames(*self._in_order(real, imag))
            return ops.reshape(frames, (1, -1, SUBFRAMES * self.frame_length))

        def overlap_add(rows: Tensor) -> Tensor:
            # The short frames that begin in a row and in the row before cover it. The long transform, to whose result
            # this one is added, has to wait for more rows, so this one uses older frames.
            unused = self.half - 1
            frames = ops.reshape(rows[:, unused : -unused or None], (1, -1, self.frame_length))
            return ops.reshape(self._rows(frames), (1, -1, self.frame_length))

        more = 2 * self.half - 1
        rows = step.window(overlap_add, step.by_rows(frames_of_rows, real, imag), more, more)
        return step.by_rows(lambda rows: ops.reshape(rows, (1, -1, 1)), rows)

    def _in_order(self, *spectra: Tensor) -> list[Tensor]:
        """Arranges spectra as one sequence of frames, `(batch, 2 * frames, bins)` each."""
        return [ops.reshape(part, (ops.shape(part)[0], -1, self.frame_length // 2)) for part in spectra]

    def _rows(self, frames: Tensor) -> Tensor:
        """Returns the samples of all rows except the first, at whose beginning frames are missing."""
        return self._overlap_add(frames)[:, self.hop_length :]

    def compute_output_shape(self, real_shape: Shape, imag_shape: Shape) -> Shape:
        batch, frames = real_shape[:2]
        return batch, None if frames is None else (frames - 2 * self.half + 1) * self.frame_length, 1

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["hop_length"]
        return {"row_length": config.pop("frame_length"), "overlap": 2 * self.half, **config}
