"""Samples as NumPy arrays, `(time, channels)`, float32, in [-1, 1]: windows, sample rates, levels, channels."""
