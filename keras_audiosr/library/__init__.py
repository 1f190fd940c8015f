"""The parts of `restore`: find songs, plan outputs, restore songs, and report the outcome of each."""
