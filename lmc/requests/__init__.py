"""The path of a model call: batching, cache, flights, budget, retries, deadlines."""
