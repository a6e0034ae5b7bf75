"""How many of which machines: chosen by price and speed, simulated on traffic, and measured under load."""
