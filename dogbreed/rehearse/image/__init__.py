"""What is on the machines of the stand-in cloud: programs that need the standard library only."""
