"""Training of weights: rows to learn from, and LoRA by packs of rows.

`rows` are prompts with answers, `encoding` makes tokens of them, `packing` plans what one pass
reads, `steps` takes losses and gradients, and `lora` trains an adapter with checkpoints.
"""
