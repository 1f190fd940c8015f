"""The parts of tools/train_accelerated.py."""
