"""Training of weights: the rows to learn from (`rows`), and LoRA (`lora`)."""
