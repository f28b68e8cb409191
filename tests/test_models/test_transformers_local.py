import asyncio
import threading
from dataclasses import replace
from operator import attrgetter

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.registry import open_backend
from lmc.models.transformers_local import Transformers
from tests.test_models.tiny_llama import save_tiny_llama

pytest.importorskip("torch")
pytest.importorskip("transformers")

SYSTEM = {"role": "system", "content": "Answer the question as well as you can, in one word."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
async def model(folder):
    backend = Transformers(str(folder))
    yield backend
    await backend.close()


def ask_for(text, *, n=1, index=0, logprobs=False, **sampling):
    sampling = Sampling(**{"max_tokens": 12, **sampling})
    messages = (SYSTEM, {"role": "user", "content": text})
    return Request("tiny", messages, sampling, n=n, index=index, logprobs=logprobs)


MIXED = [
    ask_for("short", temperature=1.0, n=3),
    ask_for("a question that is quite a bit longer than the others are", temperature=0.9),
    ask_for("greedy", temperature=0.0),
    ask_for("nucleus", temperature=1.2, top_p=0.6, seed=5, n=2),
    ask_for("unset"),
    ask_for("long answer", temperature=1.0, max_tokens=40),
]


async def test_text_does_not_depend_on_the_batch(folder):
    alone, together = Transformers(str(folder)), Transformers(str(folder))
    one_by_one = [await alone.generate(request) for request in MIXED]
    in_one_batch = await asyncio.gather(*(together.generate(request) for request in MIXED))
    await asyncio.gather(alone.close(), together.close())
    assert one_by_one == list(in_one_batch)


async def test_samples_differ_and_do_not_depend_on_how_many_are_asked(model):
    four = await model.generate(ask_for("q", temperature=1.0, n=4))
    third = await model.generate(ask_for("q", temperature=1.0, index=2))
    assert len({a.text for a in four}) == 4
    assert four[2].text == third[0].text
    assert [a.prompt_tokens > 0 for a in four] == [True, False, False, False]


async def test_seed_decides(model):
    texts = [
        (await model.generate(ask_for("q", temperature=1.0, seed=seed)))[0].text
        for seed in (None, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]


async def test_greedy_is_what_transformers_generates(model, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    request = ask_for("what?", temperature=0.0, max_tokens=24)
    prompt = tokenizer.apply_chat_template(
        list(request.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = reference.generate(**prompt, max_new_tokens=24, do_sample=False)
    new = ids[0, prompt["input_ids"].shape[1] :]
    (answer,) = await model.generate(request)
    assert answer.text == tokenizer.decode(new, skip_special_tokens=True)
    assert answer.prompt_tokens == prompt["input_ids"].shape[1]


@pytest.fixture
def engine(folder):
    from lmc.models.engine.loading import load_engine

    return load_engine(str(folder))


def admit(engine, *requests):
    from lmc.models.engine.worker import Job

    jobs = [Job(request) for request in requests]
    for job in jobs:
        engine.admit(job)
    return jobs


def finish(engine):
    while not engine.idle:
        engine.step()


def texts(jobs):
    return [answer.text for job in jobs for answer in job.done.result()]


def test_rows_join_a_running_batch_and_leave_it(engine):
    first = admit(
        engine, *(ask_for(f"first {i}", temperature=1.0, max_tokens=30) for i in range(6))
    )
    for _ in range(5):
        engine.step()
    late = admit(engine, *(ask_for(f"late {i}", temperature=1.0, max_tokens=8) for i in range(4)))
    engine.step()
    assert len(engine._rows) == 10
    while not all(job.settled for job in late):
        engine.step()
    assert not any(job.settled for job in first)
    finish(engine)
    alone = [admit(engine, job.request) for job in (*first, *late)]
    finish(engine)
    assert texts((*first, *late)) == [text for jobs in alone for text in texts(jobs)]


def test_a_prefix_is_computed_once_for_all_who_have_it(engine, monkeypatch):
    computed = []
    forward = engine._forward
    compute = forward.prefix
    monkeypatch.setattr(forward, "prefix", lambda lane: computed.append(lane[1]) or compute(lane))
    admit(engine, *(ask_for(f"question {i}", n=3) for i in range(5)))
    engine.step()
    assert sum(len(row.draws) for row in engine._rows) == 15 and len(engine._lanes) == 1
    finish(engine)
    admit(engine, ask_for("one more"))
    finish(engine)
    assert len(computed) == 1 and len(computed[0]) > 40


def test_a_prefix_nobody_shares_is_not_split_off(engine):
    asked = [
        replace(ask_for("x"), messages=({"role": "system", "content": c * 60}, SYSTEM))
        for c in "abc"
    ]
    admit(engine, *asked)
    engine.step()
    assert [row.shared for row in engine._rows] == [0, 0, 0]


def test_prefill_behind_prefixes_gives_the_same_logits(engine):
    import torch

    other = {"role": "system", "content": "Something else is asked for here, and shared by two."}
    asked = [
        *(ask_for(text) for text in ("one", "two plus two", "x")),
        *(replace(ask_for(text), messages=(other, SYSTEM)) for text in ("y", "z")),
        replace(ask_for("alone"), messages=(SYSTEM,)),
    ]
    admit(engine, *asked)
    engine.step()
    assert len(engine._lanes) == 3
    with torch.inference_mode():
        shared = engine._prefill(rows := sorted(engine._rows, key=attrgetter("order"))).logits
        for row in rows:
            row.shared = 0
        engine._lanes[None, ()] = None
        singly = torch.cat([engine._prefill([row]).logits for row in rows])
    torch.testing.assert_close(shared, singly, atol=1e-4, rtol=1e-4)


WORDS = {
    "type": "object",
    "properties": {"n": {"type": "integer", "maximum": 9}, "word": {"enum": ["cat", "dog"]}},
    "required": ["n", "word"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("temperature", "stop", "schema"),
    [(0.25, (), None), (0.25, ("e", "o"), None), (1.0, (), WORDS)],
    ids=["free", "stop", "schema"],
)
def test_samples_are_one_row_until_they_differ(engine, temperature, stop, schema):
    if schema is not None:
        pytest.importorskip("llguidance")
    asked = ask_for("q", temperature=temperature, n=6, logprobs=True, stop=stop)
    if schema is not None:  # a byte is a token of this model
        asked = replace(asked, schema=schema, sampling=replace(asked.sampling, max_tokens=60))
    (job,) = admit(engine, asked)
    written = []
    while not engine.idle:
        engine.step()
        written.append(len(engine._rows))
    together = job.done.result()
    alone = [admit(engine, replace(asked, n=1, index=i))[0] for i in range(6)]
    finish(engine)
    assert [a.text for a in together] == texts(alone)
    for answer, single in zip(together, alone):
        (single,) = single.done.result()
        assert answer.finish_reason == single.finish_reason
        assert answer.logprobs == pytest.approx(single.logprobs, abs=1e-4)
        assert answer.certainty == pytest.approx(single.certainty, abs=1e-4)
    different = len({a.text for a in together})
    assert written[0] < 6 and different > 1 and max(written) <= different
    assert sum(written) < sum(a.completion_tokens for a in together)


ANIMALS = {"type": "array", "items": {"enum": ["cat", "dog"]}, "minItems": 6, "maxItems": 6}


@pytest.mark.parametrize("schema", [None, ANIMALS], ids=["free", "schema"])
def test_branches_that_memory_cannot_hold_wait_and_go_on(engine, schema):
    if schema is not None:
        pytest.importorskip("llguidance")
    most = 20 if schema is None else 60  # a byte is a token of this model
    asked = [ask_for(f"q{i}", temperature=1.0, n=6, logprobs=True, max_tokens=most) for i in "ab"]
    asked = [replace(request, schema=schema) for request in asked]
    jobs = admit(engine, *asked)
    finish(engine)
    engine._most_tokens = 3 * max(job.done.result()[0].prompt_tokens + most for job in jobs)
    bounded = admit(engine, *asked)
    rows, begun = [], []
    while not engine.idle:
        engine.step()
        rows.append(len(engine._rows))
        begun.append(sum(bool(row.ids) for row in engine._waiting))
    assert max(rows) == 3 and max(begun) > 0
    assert texts(bounded) == texts(jobs)
    for job, again in zip(jobs, bounded):
        for one, other in zip(job.done.result(), again.done.result()):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_memory_bounds_who_is_in_the_batch(engine):
    requests = [ask_for(f"question {i}", n=2) for i in range(6)]
    jobs = admit(engine, *requests)
    engine._most_tokens = 5 * max(row.most_tokens for row in engine._waiting)
    seen = []
    while not engine.idle:
        engine.step()
        seen.append(len(engine._rows))
    assert 0 < max(seen) <= 5
    assert all(job.done.done() for job in jobs)


def test_a_schema_binds_the_answer(engine):
    pytest.importorskip("llguidance")
    import json

    requests = [
        replace(ask_for(f"q{i}", temperature=1.0, n=4, max_tokens=60), schema=WORDS)
        for i in range(3)
    ]
    free = ask_for("free", temperature=1.0, logprobs=True)
    jobs = admit(engine, *requests, free)
    finish(engine)
    for text in texts(jobs[:3]):
        value = json.loads(text)
        assert value["word"] in ("cat", "dog") and int(value["n"]) <= 9
    (answer,) = jobs[3].done.result()
    assert answer.certainty > 0 and answer.logprobs
    (bad,) = admit(engine, replace(free, schema={"type": "object", "properties": 3}))
    with pytest.raises(ModelFailure, match="schema"):
        bad.done.result()


@pytest.mark.parametrize("texts", [["same"], ["one", "two plus two", "three"]], ids=len)
async def test_samples_behind_a_shared_prefix_are_what_they_are_alone(folder, monkeypatch, texts):
    from lmc.models.engine import shared_prefix

    monkeypatch.setattr(shared_prefix, "_MOST_SCORES", 1)  # each row in a chunk of its own
    alone, together = Transformers(str(folder)), Transformers(str(folder))
    requests = [ask_for(text, temperature=1.0, n=3) for text in texts]
    singles = [ask_for(text, temperature=1.0, index=i) for text in texts for i in range(3)]
    one_by_one = [(await alone.generate(single))[0].text for single in singles]
    at_once = await asyncio.gather(*(together.generate(request) for request in requests))
    await asyncio.gather(alone.close(), together.close())
    assert one_by_one == [answer.text for answers in at_once for answer in answers]


async def test_logprobs_are_of_the_chosen_tokens(model):
    (answer,) = await model.generate(ask_for("q", temperature=1.0, logprobs=True))
    assert len(answer.logprobs) >= answer.completion_tokens > 0
    assert all(p <= 0 for p in answer.logprobs)


async def test_max_tokens_and_stop(model):
    (full,) = await model.generate(ask_for("q", temperature=1.0, max_tokens=30, seed=3))
    assert full.finish_reason == "length" and full.completion_tokens == 30
    stop = full.text[10:12]
    (cut,) = await model.generate(
        ask_for("q", temperature=1.0, max_tokens=30, seed=3, stop=(stop,))
    )
    assert cut.text == full.text[: full.text.index(stop)] and cut.finish_reason == "stop"
    assert cut.completion_tokens < 30


async def test_prompt_too_long(model):
    with pytest.raises(ModelFailure) as failure:
        await model.generate(ask_for("word " * 200))
    assert failure.value.kind == "context_length" and not failure.value.retryable


async def test_answer_ends_with_the_context(model):
    request = ask_for("w" * 430, temperature=1.0, max_tokens=100)
    (answer,) = await model.generate(request)
    assert answer.prompt_tokens + answer.completion_tokens <= 512


async def test_cancelled_requests_leave_the_others_alone(model):
    stays = asyncio.create_task(model.generate(ask_for("stays", max_tokens=200)))
    goes = asyncio.create_task(model.generate(ask_for("goes", max_tokens=400)))
    await asyncio.sleep(0.02)
    goes.cancel()
    assert len(await stays) == 1
    with pytest.raises(asyncio.CancelledError):
        await goes


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
async def test_adapter_changes_the_answer_and_only_where_it_is_asked_for(
    model, folder, tmp_path, monkeypatch
):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lmc.models.adapters import adapter_store

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter.one")
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    id = adapter_store().add(tmp_path / "adapter.one").id
    plain = ask_for("q", temperature=0.0, max_tokens=24)
    adapted = replace(plain, adapter=id)
    before = await model.generate(plain)
    with_adapter, after = await asyncio.gather(model.generate(adapted), model.generate(plain))
    assert before == after and before[0].text != with_adapter[0].text
    for name in (str(tmp_path / "adapter.one"), "org/name", "0" * 32):  # ids that are there only
        with pytest.raises(ModelFailure) as failure:
            await model.generate(replace(plain, adapter=name))
        assert failure.value.kind == "not_found"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
async def test_adapters_that_are_asked_together_answer_as_alone(folder, tmp_path, monkeypatch):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lmc.models.adapters import adapter_store

    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    ids = [None]
    for seed in (1, 2):
        torch.manual_seed(seed)
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        config = LoraConfig(
            r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        )
        get_peft_model(base, config).save_pretrained(tmp_path / f"trained{seed}")
        ids.append(adapter_store().add(tmp_path / f"trained{seed}").id)
    asked = [
        replace(ask_for(text, temperature=0.0, max_tokens=24), adapter=id)
        for text in ("q", "another question")
        for id in ids
    ]
    alone, together = Transformers(str(folder)), Transformers(str(folder))
    one_by_one = [await alone.generate(request) for request in asked]
    at_once = await asyncio.gather(*(together.generate(request) for request in asked))
    await asyncio.gather(alone.close(), together.close())
    assert one_by_one == list(at_once)
    assert len({answers[0].text for answers in one_by_one}) == 6


async def test_text_is_heard_while_it_is_written(model):
    pieces = []
    request = replace(ask_for("q", temperature=1.0, max_tokens=40), on_text=pieces.append)
    (answer,) = await model.generate(request)
    heard = "".join(pieces)
    assert len(pieces) > 1
    assert answer.text.startswith(heard)
    assert len(answer.text) - len(heard) <= 1  # half a character at the end


async def test_pools_share_the_weights(folder):
    one, two = Transformers(str(folder)), Transformers(str(folder))
    before = set(threading.enumerate())
    answers = await asyncio.gather(one.generate(ask_for("q")), two.generate(ask_for("q")))
    assert answers[0] == answers[1] and len(set(threading.enumerate()) - before) == 1
    await one.close()
    assert await two.generate(ask_for("q")) == answers[0]
    await two.close()
    assert "lmc-engine" not in {thread.name for thread in set(threading.enumerate()) - before}


async def test_broken_folder_is_a_failure(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    backend = Transformers(str(tmp_path))
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(ask_for("q"))
    await backend.close()
    assert failure.value.kind == "not_found"


def test_endpoint_follows_the_weights(folder, tmp_path):
    other = save_tiny_llama(tmp_path, seed=1)
    assert Transformers(str(folder)).endpoint == Transformers(str(folder)).endpoint
    assert Transformers(str(folder)).endpoint != Transformers(str(other)).endpoint


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_a_program_says_what_to_compute_in(folder, dtype):
    backend, _ = open_backend(f"hf/{folder}", {"dtype": dtype, "users": True})
    plain, _ = open_backend(f"hf/{folder}", {"users": True})
    assert backend.endpoint != plain.endpoint
    weights = Transformers.load(str(folder), dtype)._forward.lora.model.parameters()
    assert {str(weight.dtype) for weight in weights} == {f"torch.{dtype}"}
    request = ask_for("q", temperature=1.0, n=3, logprobs=True)
    answers, usual = await asyncio.gather(backend.generate(request), plain.generate(request))
    # float32 is the usual one on a CPU; the other is as exact as it can be
    exact = 1e-5 if dtype == "float32" else 0.1
    assert answers[0].logprobs[0] == pytest.approx(usual[0].logprobs[0], rel=exact)
    await asyncio.gather(backend.close(), plain.close())


def test_paths_are_checked_before_the_first_request(folder):
    backend, _ = open_backend(f"hf/{folder.name}", {"base_dir": folder.parent})
    assert backend.source == str(folder)
    with pytest.raises(LmcError, match="unknown-model"):
        open_backend("hf/./nothing", {})
