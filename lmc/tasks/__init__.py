"""Running many things at once: the event loop, bounded concurrency, garbage collection."""
