"""The small language model that lmc ships. Only its path is here, so that importing is cheap.

The recipe that trained it is in `examples/tiny`.
"""

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
