"""Processing of sound as NumPy arrays `(time, channels)`, float32, in [-1, 1]."""
