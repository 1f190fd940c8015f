"""Music files: reading and writing samples, tags, headers, and whether a file is whole."""
