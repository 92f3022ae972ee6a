"""Models of scikit-learn: read, turned into ONNX, and held equal to what they were."""
