"""The verbs of the command line. Each reads its arguments, calls the library, and prints the result.

Each module also contains the public function of the same name, such as `keras_audiosr.restore`.
"""
