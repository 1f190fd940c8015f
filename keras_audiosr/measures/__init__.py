"""Compares restored with lossless music: metrics, whole songs, tables, figures, loudness, and perceptual models."""
