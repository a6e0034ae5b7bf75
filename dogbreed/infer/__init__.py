"""Prediction without torch: decoding, preprocessing and the Predictor on ONNX Runtime."""
