"""`python -m lmc` is the command `lmc`."""

from lmc.cli.main import main

if __name__ == "__main__":
    main()
