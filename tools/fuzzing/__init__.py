"""The parts of tools/fuzz.py: kinds of damage, and the cases they are tried on."""
