"""The artist of the sample set: invented breeds, drawn with Pillow from one random generator."""
