import hashlib
import json
import math
import zipfile

import pytest

from lmc.diagnostics import LmcError
from lmc.models import local_embedding, packaged
from lmc.models.base import ModelFailure, Request
from lmc.models.embedding import decoded, embedding_request
from lmc.models.local_embedding import MINILM, LocalEmbedder, unpack
from lmc.models.registry import open_backend, provider_of

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random BERT of a few thousand parameters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "parcel", "is", "late"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=300,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def archive_of(folder, path, **others):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
        for name, text in others.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def known(folder, monkeypatch):
    """Have lmc know the small model in the place of the real one."""
    files = {
        file.name: (file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest())
        for file in folder.iterdir()
        if file.name != "vocab.txt"
    }
    monkeypatch.setattr(local_embedding, "_FILES", files)
    return files


async def vector_of(embedder, text):
    (answer,) = await embedder.generate(embedding_request(text))
    return answer, list(decoded(answer.text))


async def test_a_vector_is_the_mean_of_the_states_with_length_one(folder):
    import torch
    from transformers import AutoModel, AutoTokenizer

    embedder = LocalEmbedder(folder)
    answer, vector = await vector_of(embedder, "a parcel is late")
    await embedder.close()
    words = AutoTokenizer.from_pretrained(folder)("a parcel is late", return_tensors="pt")
    with torch.inference_mode():
        mean = AutoModel.from_pretrained(folder)(**words).last_hidden_state[0].mean(0)
    assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-6)
    assert math.hypot(*vector) == pytest.approx(1)
    assert answer.prompt_tokens == len(words["input_ids"][0])


async def test_a_long_text_is_cut(folder):
    embedder = LocalEmbedder(folder)
    answer, _ = await vector_of(embedder, "late " * 1000)
    await embedder.close()
    assert answer.prompt_tokens == 256


async def test_it_answers_no_prompt(folder):
    with pytest.raises(ModelFailure, match="cannot answer a prompt"):
        await LocalEmbedder(folder).generate(Request("", ({"role": "user", "content": "hi"},)))


def test_only_the_known_files_are_unpacked(folder, known, tmp_path):
    more = {"pytorch_model.bin": "pickle", "../outside": "x"}
    unpack(archive_of(folder, tmp_path / "model.zip", **more), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*known, "model.zip"])
    assert not (tmp_path.parent / "outside").exists()


def test_other_files_are_refused(folder, known, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name in known:
        (other / name).write_bytes((folder / name).read_bytes())
    (other / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "evil.Model"}}))
    (other / "tokenizer.json").unlink()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK but no zip")
    for archive in (archive_of(other, tmp_path / "other.zip"), broken):
        with pytest.raises(LmcError) as failure:
            unpack(archive, tmp_path)
        assert failure.value.code == "not-this-model"


def test_the_name_is_one_model_and_not_a_prefix():
    assert provider_of("embed/local").extra == "local"
    assert provider_of("embed/localai/x").extra == "litellm"


@pytest.mark.slow
async def test_likeness_is_of_meaning(tmp_path, monkeypatch):
    try:
        packaged.packaged_file(MINILM)
    except LmcError as missing:
        pytest.skip(missing.diagnostics[0].message)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    embedder, _ = open_backend("embed/local", {})
    texts = ("I forgot my password.", "I cannot log in.", "The van did not come.")
    asked, near, far = [(await vector_of(embedder, text))[1] for text in texts]
    await embedder.close()
    assert sum(a * b for a, b in zip(asked, near)) > sum(a * b for a, b in zip(asked, far)) + 0.2
