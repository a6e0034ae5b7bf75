"""dogbreed: from photos of dogs to a classifier of their breeds, and its predictions."""

__version__ = "0.1.0"
