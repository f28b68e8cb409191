"""Running many tasks concurrently: event loop, bounded concurrency, garbage collection."""
