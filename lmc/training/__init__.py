"""Weights from rows: what is learnt (`rows`), how (`lora`), and how far it is (`progress`)."""
