"""Text to tree and back: scanner, parser, syntax errors, printer."""
