"""How close restored music is to lossless music: metrics, whole files, tables, figures, loudness, perceptual models."""
