"""The parts of restore: finding songs, planning outputs, restoring songs, and reporting what became of each."""
