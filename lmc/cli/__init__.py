"""The `lmc` command, one sub-command a file."""
