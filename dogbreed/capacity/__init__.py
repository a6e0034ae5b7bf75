"""How many of which machines: chosen by price and speed."""
