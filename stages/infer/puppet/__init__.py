"""The embedded engine: a 2-D puppet of the portrait on ONNX Runtime and OpenCV, with weights in the package."""
