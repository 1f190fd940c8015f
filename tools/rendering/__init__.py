"""The parts of tools/render.py, which turns scores and clips into mixed and mastered tracks."""
