"""From a training run to a bundle: the ONNX graph, its parity with the network, the manifest."""
