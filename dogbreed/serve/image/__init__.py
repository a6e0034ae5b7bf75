"""The service's container image: its Dockerfile, the packages that it holds, and what it begins with."""
