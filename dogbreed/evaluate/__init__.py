"""Evaluation: metrics, calibration and the threshold below which an answer is unsure."""
