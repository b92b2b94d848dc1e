"""Derives the shipped ONNX weights from published packages; a development tool, never imported by a service."""
