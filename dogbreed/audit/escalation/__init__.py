"""Who can get more rights than they were given, and how: reachability over principals."""
