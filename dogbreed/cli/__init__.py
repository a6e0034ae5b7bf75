"""The command line: parse, call the core, render. One file per group of commands."""
