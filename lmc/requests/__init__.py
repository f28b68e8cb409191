"""What a model call passes through: batching, cache, flights, budget, retries, deadlines."""
