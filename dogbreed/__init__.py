"""dogbreed: the whole life of a dog-breed image classifier, from photos to a running, scaled, audited service."""

__version__ = "0.1.0"
