"""AWS: one door to the account, the resources that dogbreed makes in it, and what runs there."""
