"""Of an adapter in an artifact only plain LoRA is taken in: no classes, patterns, other models."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.adapter_files import MOST_RANK, NotPlain, require_plain, taken_in
from lmc.models.adapters import CONFIG, WEIGHTS, adapter_store
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked
from lmc.runtime.parameters import ModuleParameters, Parameters
from tests.lora_files import TENSOR, adapter_files, safetensors


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))


def test_what_peft_writes_is_taken() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    config.save_pretrained("written")
    require_plain(adapter_files() | {CONFIG: Path("written", CONFIG).read_bytes()})


@pytest.mark.parametrize(
    "config",
    [
        {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}},
        {"peft_type": "PROMPT_TUNING"},
        {"peft_type": None},
        {"task_type": "SEQ_CLS"},
        {"target_modules": r"(a+)+$"},
        {"target_modules": ["(a+)+$"]},
        {"target_modules": ["q"] * 1000},
        {"exclude_modules": r"(a+)+$"},
        {"rank_pattern": {r"(a+)+$": 4}},
        {"alpha_pattern": {r"(a+)+$": 4}},
        {"layers_pattern": r"(a+)+$"},
        {"modules_to_save": ["lm_head"]},
        {"megatron_config": {"x": 1}},
        {"megatron_core": "os"},
        {"init_lora_weights": "pissa"},
        {"loftq_config": {"loftq_bits": 4}},
        {"corda_config": {"cache_file": "/etc/passwd"}},
        {"trainable_token_indices": [1]},
        {"layer_replication": [[0, 4], [2, 5]]},
        {"use_dora": "yes"},
        {"bias": "all"},
        {"r": MOST_RANK + 1},
        {"r": 1e9},
        {"lora_alpha": 1e300},
        {"some_setting_of_tomorrow": "on"},
        {"base_model_name_or_path": "x" * 5000},
    ],
    ids=lambda config: next(iter(config)),
)
def test_settings_that_do_more_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(NotPlain):
        require_plain(adapter_files(**config))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'{"peft_type": "LORA", "peft_type": "LORA"}', b"[" * 50_000, b"\xff" * 9],
    ids=repr,
)
def test_settings_that_cannot_be_read_are_refused(data: bytes) -> None:
    with pytest.raises(NotPlain):
        require_plain(adapter_files() | {CONFIG: data[:60_000]})


def write(folder: str, **config: Any) -> Path:
    Path(folder).mkdir()
    for name, data in adapter_files(**config).items():
        Path(folder, name).write_bytes(data)
    return Path(folder)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "GPT2LMHeadModel"])
@pytest.mark.parametrize("library", ["transformers.models.llama.modeling_llama", "os", 7])
def test_an_adapter_without_a_task_type_gets_the_only_one(name: str, library: Any) -> None:
    """peft writes a class instead, which nobody imports."""
    mapping = {"base_model_class": name, "parent_library": library}
    taken = taken_in(write("without", task_type=None, auto_mapping=mapping))
    config = json.loads(taken.files()[CONFIG])
    assert (config["task_type"], config["auto_mapping"]) == ("CAUSAL_LM", None)
    assert taken.files()[WEIGHTS] == adapter_files()[WEIGHTS]
    assert taken.id == taken_in(Path("without")).id


@pytest.mark.parametrize(
    "config",
    [
        {"task_type": None, "auto_mapping": {"base_model_class": "LlamaModel"}},
        {"task_type": None, "auto_mapping": {"base_model_class": "a.b.XForCausalLM"}},
        {"task_type": None, "auto_mapping": {"base_model_class": ["LlamaForCausalLM"]}},
        {"task_type": None, "auto_mapping": "LlamaForCausalLM"},
        {"task_type": "SEQ_CLS", "auto_mapping": {"base_model_class": "LlamaForCausalLM"}},
        {"task_type": "CAUSAL_LM", "auto_mapping": {"base_model_class": "LlamaForCausalLM"}},
    ],
    ids=str,
)
def test_other_adapters_with_a_class_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(lmc.LmcError) as failure:
        taken_in(write("without", **config))
    assert failure.value.code == "not-an-adapter"


HUGE = {"dtype": "F32", "shape": [1 << 40, 2], "data_offsets": [0, 32]}
SOUND = {"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 32]}


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\x80\x04\x95",  # a pickle
        b"PK\x03\x04" + bytes(100),
        (1 << 60).to_bytes(8, "little") + b"{}",
        safetensors({TENSOR: HUGE}),
        safetensors({TENSOR: SOUND | {"shape": [-2, -4]}}),
        safetensors({TENSOR: SOUND | {"shape": [8]}}),
        safetensors({TENSOR: SOUND | {"shape": [2, 4, 1]}}),
        safetensors({TENSOR: SOUND | {"shape": [True, 8]}}),
        safetensors({TENSOR: SOUND | {"shape": [0, 4], "data_offsets": [0, 0]}}),
        safetensors({TENSOR: SOUND | {"data_offsets": [0, 33]}}),
        safetensors({TENSOR: SOUND | {"data_offsets": [4, 36]}}),
        safetensors({TENSOR: SOUND | {"data_offsets": [32, 0]}}),
        safetensors({TENSOR: SOUND | {"dtype": "I64"}}),
        safetensors({TENSOR: SOUND | {"dtype": ["F32"]}}),
        safetensors({TENSOR: [MOST_RANK + 1, MOST_RANK + 1]}, bytes(4 * (MOST_RANK + 1) ** 2)),
        safetensors({"lm_head.weight": [2, 4]}),
        safetensors({"a/../b.lora_A.weight": [2, 4]}),
        safetensors({TENSOR: [2, 4]})[:-40],
    ],
)
def test_weights_that_are_not_plain_are_refused(weights: bytes) -> None:
    with pytest.raises(NotPlain):
        require_plain(adapter_files() | {WEIGHTS: weights})


def test_any_damage_is_refused_in_words() -> None:
    """Bytes at random: plain, or refused, and no other failure."""
    chance, whole = random.Random(0), adapter_files()
    for _ in range(2000):
        name = chance.choice([CONFIG, WEIGHTS])
        data = bytearray(whole[name])
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(NotPlain):
            require_plain(whole | {name: bytes(data)})


def test_an_artifact_with_such_an_adapter_is_not_loaded() -> None:
    Path("p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    graph = lower_checked(check_file("p.lmp"))
    known = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    for files, good in ((adapter_files(), True), (adapter_files(target_modules="(a+)+$"), False)):
        id = adapter_store().add_files(files).id
        learnt = Parameters({"main": ModuleParameters(adapter=id)})
        Artifact(known, graph, learnt).write(Path("p.lmpc"))
        if good:
            assert lmc.load("p.lmpc").parameters == learnt
            continue
        with pytest.raises(lmc.LmcError, match="target_modules") as failure:
            lmc.load("p.lmpc")
        assert failure.value.code == "artifact-damaged"


def test_a_folder_with_such_an_adapter_is_not_set() -> None:
    Path("weights").mkdir()
    for name, data in adapter_files(auto_mapping={"parent_library": "os"}).items():
        Path("weights", name).write_bytes(data)
    with pytest.raises(lmc.LmcError, match="auto_mapping") as failure:
        taken_in(Path("weights"))
    assert failure.value.code == "not-an-adapter"


@pytest.mark.parametrize("name", ["/etc", "../x", "org/name", "0" * 32, ""])
def test_engines_take_ids_that_are_there_only(name: str) -> None:
    pytest.importorskip("peft")
    from lmc.models.engine.lora_switch import LoraSwitch

    with pytest.raises(lmc.LmcError) as failure:
        LoraSwitch(model=None).load(name)
    assert failure.value.code == "unknown-adapter"


def test_what_is_in_the_store_is_looked_at_again() -> None:
    pytest.importorskip("peft")
    from lmc.models.engine.lora_switch import LoraSwitch

    id = adapter_store().add_files(adapter_files(bias="all")).id
    with pytest.raises(NotPlain, match="bias"):
        LoraSwitch(model=None).load(id)
    assert json.loads(adapter_store().find(id).files()[CONFIG])["bias"] == "all"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_another_provider_is_not_named_by_an_adapter() -> None:
    """It would be sent the key of that provider."""
    pytest.importorskip("litellm")
    from lmc.models.base import ModelFailure
    from lmc.models.litellm_provider import LiteLLM, _imported

    model = LiteLLM(_imported(), "anthropic/claude-sonnet-4-5")
    assert model._named(None) == "anthropic/claude-sonnet-4-5"
    assert model._named("anthropic/tuned") == "anthropic/tuned"
    for adapter in ("openai/x", "huggingface/https://evil.example", "anthropic/https://e.example"):
        with pytest.raises(ModelFailure):
            model._named(adapter)
