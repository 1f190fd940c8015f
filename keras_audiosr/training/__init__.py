"""Training: one step for TensorFlow and JAX, one loop, and the sources of its windows.

Import from the modules: those of the pool (`pool`, `producers`, `maker`) need no framework, and its processes start
without one.
"""
