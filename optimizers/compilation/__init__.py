"""A compilation from its task to its result: steps, guards, run folder, history."""
