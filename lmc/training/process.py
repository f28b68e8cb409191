"""One of the processes that train an adapter together: arguments are FOLDER RANK COUNT."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from lmc.diagnostics import LmcError
from lmc.training.lora import TrainingProgress, TrainingStopped, calm, train_share
from lmc.training.processes import splits_model
from lmc.training.shares import Shares


def main(folder: Path, shares: Shares) -> None:
    """Train with the others that meet in this folder."""
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    _take_gpu(shares)
    import torch
    from torch import distributed

    backend = "nccl" if torch.cuda.is_available() else "gloo"
    meeting = f"file://{folder / 'meeting'}"
    distributed.init_process_group(
        backend, init_method=meeting, rank=shares.rank, world_size=shares.count
    )
    job, place = pickle.loads((folder / "job").read_bytes())  # noqa: S301 - our own
    try:
        with calm():
            train_share(job, place, _tell, (folder / "stop").exists, shares)
    except TrainingStopped:
        pass
    except LmcError as failure:
        (folder / f"failed-{shares.rank}").write_bytes(pickle.dumps(failure))
        os._exit(1)  # the others wait for what will not come
    distributed.destroy_process_group()


def _tell(now: TrainingProgress) -> None:
    print(json.dumps(asdict(now)), flush=True)


def _end_with_parent(folder: Path) -> None:
    """End when the parent is gone, and remove the folder that it no longer can."""
    while os.read(0, 1024):  # a lock of sys.stdin would abort the process at its end
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _take_gpu(shares: Shares) -> None:
    """Use one GPU of those that this process may see. torch must not be loaded yet."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = given.split(",") if given else [str(n) for n in range(shares.count)]
    if given != "":
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[shares.rank % len(seen)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Shares(int(sys.argv[2]), int(sys.argv[3]), splits_model()))
