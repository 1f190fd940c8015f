"""Handles music files: reads and writes samples, tags and headers, and checks whether a file is complete."""
