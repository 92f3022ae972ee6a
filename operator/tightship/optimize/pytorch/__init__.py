"""Models that torch saved with their code: read, turned into ONNX, and held equal to torch."""
