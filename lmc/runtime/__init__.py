"""Running graphs: plans, the executor, model calls, regions, votes and traces."""
