"""`python -m lmc`: the `lmc` command, where its script is not at hand."""

from lmc.cli.main import main

if __name__ == "__main__":
    main()
