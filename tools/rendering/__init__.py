"""The parts of tools/render.py: scores and clips in, mixed and mastered tracks out. Nothing here is in the package."""
