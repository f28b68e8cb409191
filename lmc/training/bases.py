"""The frozen model that an adapter is trained on: whole, in 4 bits, or split over the processes.

Sources: QLoRA, Dettmers et al. 2023, arXiv 2305.14314, section 3: NormalFloat of 4 bits, with
double quantisation; PyTorch FSDP, Zhao et al. 2023, arXiv 2304.11277, here in its second version,
`fully_shard`. It differs from FSDP as it is used elsewhere in that only the frozen base is split.
The adapter is small, so every process has all of it, and checkpoints are those of one process.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

from lmc.diagnostics import LmcError
from lmc.models.adapter_files import is_dora
from lmc.models.adapters import Adapter
from lmc.models.engine.pretrained import pretrained
from lmc.training.processes import SPLIT
from lmc.training.shares import Shares

Quantize = Literal["nf4"]


def load_base(source: str, quantize: Quantize | None, shares: Shares) -> Any:
    """Load a model to train an adapter on, on the GPU of this process if it has one.

    It computes in float32 where no autocast says otherwise.
    Raises: LmcError[missing-extra, cannot-train].
    """
    import torch
    from transformers import AutoModelForCausalLM

    if quantize is not None:
        return _in_4_bits(source, shares)
    if shares.split:
        return _split(source, shares.count)
    model = pretrained(AutoModelForCausalLM, source, dtype=torch.float32)
    return model.to("cuda") if torch.cuda.is_available() else model


def split_rest(model: Any, learner: Any, shares: Shares) -> None:
    """Split a frozen model that was loaded whole, which are those in 4 bits, if it is to be.

    `learner` is the model with its adapter, which stays whole.
    """
    if not shares.split or not getattr(model, "is_loaded_in_4bit", False):
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    names = model._no_split_modules or ()
    blocks = [each for each in model.modules() if type(each).__name__ in names]
    if not blocks:
        message = "transformers does not tell which blocks this model consists of"
        raise LmcError.of("cannot-train", message, help=f"leave out {SPLIT}")
    mesh = init_device_mesh(model.device.type, (shares.count,))
    whole = {weights for weights in learner.parameters() if weights.requires_grad}
    for each in [*blocks, model]:
        fully_shard(each, mesh=mesh, ignored_params=whole)


def require_splittable(kind: str, start: Adapter | None, *, taught: bool) -> None:
    """Refuse to split a model that an adapter, or a teacher, needs whole.

    Raises: LmcError[cannot-train].
    """
    if taught:
        message = f"{SPLIT} and a teacher of probabilities do not go together"
        raise LmcError.of("cannot-train", message, help=f"leave out {SPLIT}")
    if kind == "dora" or (start is not None and is_dora(start)):
        message = f"{SPLIT} and adapters of the kind dora do not go together"
        help = 'DoRA measures whole matrices; take `kind="lora"` or `kind="rslora"`'
        raise LmcError.of("cannot-train", message, help=help)


def require_quantizer() -> None:
    """Raises: LmcError[missing-extra] if bitsandbytes is not there. Nothing is imported."""
    if find_spec("bitsandbytes") is None:
        message = 'training with `quantize="nf4"` requires bitsandbytes'
        raise LmcError.of("missing-extra", message, help='pip install "lmc-lang[qlora]"')


def _in_4_bits(source: str, shares: Shares) -> Any:
    """The matrices inside the blocks in 4 bits; embeddings, norms and the head stay as they are."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    require_quantizer()
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,  # autocast makes it bfloat16, where a job asks for it
        # What is split together has one type.
        bnb_4bit_quant_storage=torch.float32 if shares.split else torch.uint8,
    )
    kind = AutoModelForCausalLM
    model = pretrained(kind, source, dtype=torch.float32, quantization_config=config)
    linears = [each for each in model.modules() if type(each).__name__ == "Linear4bit"]
    for each in linears:
        # Else a CPU with bfloat16 packs the weights at the first pass without gradients. From then
        # on gradients are zero, without an error.
        each.support_avx512bf16_for_cpu = False
    if not linears:
        message = f"nothing of `{source}` can be quantised: it has no plain linear layers"
        raise LmcError.of("cannot-train", message, help="leave out `quantize`")
    return model


def _split(source: str, count: int) -> Any:
    """A model of which each process reads and keeps its part of every matrix.

    A layer is gathered when it computes, and let go.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    over = DistributedConfig(fsdp_size=count)
    try:
        kind = AutoModelForCausalLM
        model = pretrained(kind, source, dtype=torch.float32, distributed_config=over)
    except (ValueError, OSError) as problem:
        if "fsdp" not in str(problem).lower():
            raise
        message = f"transformers cannot split `{source}` over processes: {problem}"
        help = '`quantize="nf4"` takes an eighth of the memory'
        raise LmcError.of("cannot-train", message, help=help) from None
    # The Trainer adds no gradients up and writes no checkpoints where it sees this. All that it
    # trains is whole here, and gradients are added up by `Shares`.
    model._is_distributed_loading_by_transformers = False
    return model.requires_grad_(False)  # before a pass, which would copy that they have gradients
