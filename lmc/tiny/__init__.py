"""The small language model that lmc ships: its weights, its data generators and its training.

Only the path is here, so that importing it costs nothing. The rest is run by hand:
`python -m lmc.tiny.train`, `python -m lmc.tiny.evaluate`, `python -m lmc.tiny.rows`.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
