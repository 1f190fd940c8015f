"""The parts of `export`: conversion to TFLite, quantization, and the model card."""
