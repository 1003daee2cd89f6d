"""Network definitions (torch): one definition serves training, ONNX and TensorRT."""
