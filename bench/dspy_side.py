"""DSPy's optimizers on one task: run by `bench/optimizers.py` in DSPy's own environment.

Arguments: URL, optimizer, budget, seed, task file (JSON with train, dev, test, instruction). Prints
the held-out accuracy. The adapter writes prompts as lmc's chat layout does, so that the model sees
the same from both. A task with a `format` is one of `bench/real_peers.py`: its results have a type,
which the server enforces, and the answers are printed. Without arguments each line of standard
input is such a list in JSON, for which a line with the mark `RESULT ` is printed.
"""

import json
import logging
import re
import sys
import time
import urllib.request
import warnings
from pathlib import Path
from typing import Literal

warnings.filterwarnings("ignore")
import dspy  # noqa: E402
from dspy.utils.exceptions import AdapterParseError  # noqa: E402

logging.disable(logging.CRITICAL)


class PlainChat(dspy.ChatAdapter):
    """One message for inputs, one for outputs; a lone output is the whole answer."""

    def format(self, signature, demos, inputs):
        outputs = list(signature.output_fields)
        system = signature.instructions
        if len(outputs) > 1:
            marks = "\n".join(f"[[{name}]]" for name in outputs)
            system += f"\n\nReply with these fields, each after its mark:\n{marks}"
        messages = [{"role": "system", "content": system}]
        for demo in demos:
            if all(name in demo for name in [*signature.input_fields, *outputs]):
                asked = self._marked(signature.input_fields, demo)
                messages.append({"role": "user", "content": asked})
                said = str(demo[outputs[0]]) if len(outputs) == 1 else self._marked(outputs, demo)
                messages.append({"role": "assistant", "content": said})
        messages.append({"role": "user", "content": self._marked(signature.input_fields, inputs)})
        return messages

    def parse(self, signature, completion):
        outputs = list(signature.output_fields)
        if len(outputs) == 1:
            return {outputs[0]: completion.strip()}
        parts = dict(re.findall(r"\[\[(\w+)\]\]\s*(.*?)(?=\[\[|\Z)", completion, re.S))
        return {name: parts.get(name, completion).strip() for name in outputs}

    @staticmethod
    def _marked(fields, values):
        return "\n".join(f"[[{name}]] {values[name]}" for name in fields if name in values)


class TypedChat(PlainChat):
    """The task's own calls as lmc's JSON layout writes them, with its schema; others are plain."""

    def __init__(self, response_format):
        super().__init__()
        self._format = response_format
        schema = json.dumps(response_format["json_schema"]["schema"], ensure_ascii=False)
        self._ask = f"Reply with a JSON object of this schema and nothing else:\n{schema}"

    def __call__(self, lm, lm_kwargs, signature, demos, inputs):
        if list(signature.output_fields) == ["result"]:
            lm_kwargs = {**lm_kwargs, "response_format": self._format, "max_tokens": 24}
        return super().__call__(lm, lm_kwargs, signature, demos, inputs)

    def format(self, signature, demos, inputs):
        if list(signature.output_fields) != ["result"]:
            return super().format(signature, demos, inputs)
        given = list(signature.input_fields)
        messages = [{"role": "system", "content": f"{signature.instructions}\n\n{self._ask}"}]
        for demo in demos:
            if all(name in demo for name in [*given, "result"]):
                messages.append({"role": "user", "content": self._object(given, demo)})
                messages.append({"role": "assistant", "content": self._object(["result"], demo)})
        return [*messages, {"role": "user", "content": self._object(given, inputs)}]

    def parse(self, signature, completion):
        if list(signature.output_fields) != ["result"]:
            return super().parse(signature, completion)
        try:
            return {"result": json.loads(completion)["result"]}
        except (ValueError, KeyError, TypeError):
            raise AdapterParseError(
                adapter_name="TypedChat", signature=signature, lm_response=completion
            ) from None

    @staticmethod
    def _object(names, values):
        return json.dumps({name: values[name] for name in names}, ensure_ascii=False)


def parts_of(task, given, result):
    """The rows of a task as DSPy's examples."""
    return {
        part: [
            dspy.Example(**{given: row[given], result: row[row_key(row)]}).with_inputs(given)
            for row in task[part]
        ]
        for part in ("train", "dev", "test")
    }


def row_key(row):
    """The column with the gold value."""
    return "answer" if "answer" in row else "label"


def main():
    for line in [sys.argv[1:]] if sys.argv[1:] else map(json.loads, sys.stdin):
        url, name, budget, seed, path = line
        task = json.loads(Path(path).read_text())
        run = typed if "format" in task else tiny
        mark = "" if sys.argv[1:] else "\nRESULT "
        try:
            found = run(url, name, int(budget), int(seed), task)
        except Exception as e:
            if sys.argv[1:]:
                raise
            found = {"error": f"{type(e).__name__}: {e}"}
        print(mark + json.dumps(found), flush=True)


def asked(url, what):
    """What the server counted since the last time."""
    with urllib.request.urlopen(f"{url}/{what}") as answer:
        return json.load(answer)


def tiny(url, name, budget, seed, task):
    """Score and calls on a task whose answers are bare labels."""
    lm = dspy.LM("openai/bench", api_base=f"{url}/v1", api_key="x", cache=False, temperature=0.0)
    dspy.configure(lm=lm, adapter=PlainChat())
    rows = parts_of(task, "text", "label")

    def same(gold, pred):
        return str(pred.label).strip().lower() == gold.label.lower()

    program = dspy.Predict(dspy.Signature("text -> label", task["instruction"]))
    best = improved(url, program, name, budget, seed, rows, same, "label", lm)
    calls = asked(url, "calls")
    found = dspy.Evaluate(devset=rows["test"], metric=scored(same), num_threads=16)(best)
    return {"score": float(getattr(found, "score", found)) / 100, "calls": calls}


def bare(value):
    """A value as answers are compared."""
    if not isinstance(value, str):
        return value
    return value.strip().strip("\"'").rstrip(".").strip().lower()


def typed(url, name, budget, seed, task):
    """Costs of a run and the answers on the test rows; None where there is none."""
    given, kind = task["given"], task["kind"]
    lm = dspy.LM("openai/bench", api_base=f"{url}/v1", api_key="x", cache=False, temperature=0.0)
    own = task["adapter"] == "own"
    dspy.configure(max_errors=10**6)  # an answer that is cut counts as wrong
    dspy.configure(lm=lm, adapter=dspy.JSONAdapter() if own else TypedChat(task["format"]))
    types = {"bool": bool, "str?": str | None}
    type_ = Literal[tuple(kind)] if isinstance(kind, list) else types[kind]
    fields = {given: (str, dspy.InputField()), "result": (type_, dspy.OutputField())}
    program = dspy.Predict(dspy.Signature(fields, task["instruction"]))
    rows = parts_of(task, given, "result")

    def same(gold, pred):
        left, right = bare(gold.result), bare(getattr(pred, "result", None))
        return type(left) is type(right) and left == right

    asked(url, "spent")
    answer(program, rows["test"][0])
    plain, start_s = asked(url, "spent")["first"], time.perf_counter()
    if name == "knn-few-shot":
        best = nearest(program, rows, task["vectors"], scored(same))
    elif name == "as":
        best = program
    else:
        best = improved(url, program, name, budget, seed, rows, same, "result", lm)
    spent = asked(url, "spent") | {"wall": time.perf_counter() - start_s}
    answer(best, rows["test"][0])
    first = asked(url, "spent")["first"]
    pairs = [(best, row) for row in rows["test"]]
    execute = dspy.Parallel(num_threads=16, max_errors=len(pairs), disable_progress_bar=True)
    said = execute([(lambda row=row: answer(best, row), {}) for _, row in pairs])
    return {
        "spent": {k: v for k, v in spent.items() if k != "first"}, "plain": plain, "first": first,
        "answers": said,
    }  # fmt: skip


def answer(program, row):
    """The result for a row; None if there is none that can be read."""
    try:
        return program(**row.inputs()).result
    except Exception:
        return None


def nearest(program, rows, vectors, metric):
    """Each input with the six train rows that are nearest to it, as lmc's knn has them."""
    import numpy

    def embed(texts):
        return numpy.array([vectors[text] for text in texts])

    few = dspy.KNNFewShot(
        k=6, trainset=rows["train"], vectorizer=embed, metric=metric,
        max_bootstrapped_demos=0, max_labeled_demos=6,
    )  # fmt: skip
    return few.compile(program)


def scored(same):
    """The metric that DSPy's optimizers call."""

    def right(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return float(same(gold, pred))

    return right


def improved(url, program, name, budget, seed, rows, same, result, lm):
    """The program that an optimizer finds."""
    right = scored(same)

    def told(gold, pred, trace=None, pred_name=None, pred_trace=None):
        score = right(gold, pred)
        text = f"score {score:g}; expected {gold[result]}, got {getattr(pred, result, None)}"
        return dspy.Prediction(score=score, feedback=text)

    dev, threads = len(rows["dev"]), 16
    if name == "random-search":
        tries = max(0, (budget - 3 * dev) // dev)
        optimizer = dspy.BootstrapFewShotWithRandomSearch(
            metric=right, max_bootstrapped_demos=4, max_labeled_demos=8,
            num_candidate_programs=tries, num_threads=threads,
        )  # fmt: skip
        best = optimizer.compile(program, trainset=rows["train"], valset=rows["dev"])
    elif name == "mipro":
        trials = max(1, (budget - 40 - dev) // 30)
        optimizer = dspy.MIPROv2(
            metric=right, prompt_model=lm, auto=None, num_candidates=6, max_bootstrapped_demos=4,
            max_labeled_demos=4, num_threads=threads, seed=seed, verbose=False,
        )  # fmt: skip
        best = optimizer.compile(
            program, trainset=rows["train"], valset=rows["dev"], num_trials=trials,
            minibatch=True, minibatch_size=20,
        )  # fmt: skip
    elif name == "gepa":
        optimizer = dspy.GEPA(
            metric=told, max_metric_calls=budget, reflection_lm=dspy.LM(
                "openai/bench", api_base=f"{url}/v1", api_key="x", cache=False, temperature=1.0
            ), num_threads=threads, seed=seed,
        )  # fmt: skip
        best = optimizer.compile(program, trainset=rows["train"], valset=rows["dev"])
    else:
        optimizer = dspy.SIMBA(
            metric=right, bsize=16, num_candidates=3, max_steps=max(1, budget // 150),
            num_threads=threads,
        )  # fmt: skip
        best = optimizer.compile(program, trainset=[*rows["train"], *rows["dev"]], seed=seed)
    return best


main()
