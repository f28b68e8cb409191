"""How each kind of region runs its bodies, one kind per file."""
