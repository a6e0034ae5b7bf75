"""The stand-in cloud: AWS on this machine, where jobs and machines really run."""
