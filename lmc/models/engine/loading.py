"""Load a model for the engine, as it runs best on this machine."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from lmc.models.engine.decoding import Engine
from lmc.models.engine.linear import use_fast_linear
from lmc.models.engine.pretrained import pretrained

_SMALL_MODEL_PARAMETERS = 20_000_000


def load_engine(source: str, dtype: str | None = None, *, lookup: bool = False) -> Engine:
    """Load a model for decoding, never from pickle.

    Without a `dtype` it computes in bfloat16 on a GPU, and in float32 on a CPU.
    """
    on_gpu = torch.cuda.is_available()
    disable_progress_bar()  # loading is short, and the bar would spoil the output
    tokenizer = AutoTokenizer.from_pretrained(source)
    kind = getattr(torch, dtype or ("bfloat16" if on_gpu else "float32"))
    model = pretrained(AutoModelForCausalLM, source, dtype=kind)
    if not on_gpu and model.num_parameters() < _SMALL_MODEL_PARAMETERS:
        # Threads gain little on small matrices; on a busy machine, their barriers cost much.
        torch.set_num_threads(1)
    if not on_gpu:
        use_fast_linear(model)
    return Engine(model.to("cuda" if on_gpu else "cpu").eval(), tokenizer, lookup=lookup)
