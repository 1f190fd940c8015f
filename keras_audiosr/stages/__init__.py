"""The verbs of the command line, in working order: each reads its arguments, calls the library, and prints the result.

`keras_audiosr.restore` and its like are the functions of these modules.
"""
