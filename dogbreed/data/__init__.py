"""Data preparation: read folders of photos, check, de-duplicate, split, draw and download sets."""
