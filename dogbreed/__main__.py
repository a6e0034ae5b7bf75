"""`python -m dogbreed` is the `dogbreed` command."""

from dogbreed.cli.start import main

if __name__ == "__main__":
    main()
