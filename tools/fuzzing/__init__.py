"""The parts of tools/fuzz.py: the kinds of damage, and the test cases."""
