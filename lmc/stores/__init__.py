"""What programs keep between their runs: databases of records, and snapshots of them."""
