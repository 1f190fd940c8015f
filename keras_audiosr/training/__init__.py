"""Training: one training step for TensorFlow and JAX, one training loop, and the sources of training windows.

Import from the modules themselves. This file imports none of them, because the processes that fill a pool import
`producers` and must start without a deep learning framework.
"""
