"""The local engine: batched decoding with shared prefixes, constraints and LoRA switching."""
