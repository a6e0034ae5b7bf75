"""Training: one worker module for one process or many, on this machine or any other."""
