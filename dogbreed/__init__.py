"""dogbreed: from photos of dogs to a classifier of their breeds, and its predictions."""

import os

__version__ = "0.1.0"

# ONNX Runtime, from 1.29 on, tells Microsoft about each model that it opens, unless it is asked not to before it loads.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
