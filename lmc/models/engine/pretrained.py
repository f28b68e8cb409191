"""Load models of transformers, one at a time.

While transformers loads a model, torch's default type is that of the model, for all threads of the
process. Two threads that load at once may restore it in the wrong order. Then every tensor that is
made later has the wrong type.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

_LOADING = threading.Lock()
# Where it is installed, peft imports it, and on some CPUs it warns of kernels on the hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def pretrained(kind: Any, source: Any, **options: Any) -> Any:
    """`kind.from_pretrained(source, …)`, never from pickle."""
    if "gguf_file" not in options:
        options["use_safetensors"] = True
    with _LOADING:
        return kind.from_pretrained(source, **options)


def context_of(config: Any) -> int:
    """How many tokens a model can read, by its configuration."""
    return int(getattr(config, "max_position_embeddings", None) or 4096)
