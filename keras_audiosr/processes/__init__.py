"""The layer between this package and the operating system: partial files, processes, threads, file systems."""
