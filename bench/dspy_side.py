"""DSPy's optimizers on one task: run by `bench/optimizers.py` in DSPy's own environment.

Arguments: URL, optimizer, budget, seed, task file (JSON with train, dev, test, instruction). Prints
the held-out accuracy. The adapter writes prompts as lmc's chat layout does, so that the model sees
the same from both.
"""

import json
import logging
import re
import sys
import urllib.request
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
import dspy  # noqa: E402

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


def main():
    url, name, budget, seed, path = sys.argv[1:]
    budget, seed = int(budget), int(seed)
    task = json.loads(Path(path).read_text())
    lm = dspy.LM("openai/bench", api_base=f"{url}/v1", api_key="x", cache=False, temperature=0.0)
    dspy.configure(lm=lm, adapter=PlainChat())
    signature = dspy.Signature("text -> label", task["instruction"])
    rows = {
        part: [dspy.Example(**row).with_inputs("text") for row in task[part]]
        for part in ("train", "dev", "test")
    }

    def right(gold, pred, trace=None, pred_name=None, pred_trace=None):
        return float(str(pred.label).strip().lower() == gold.label.lower())

    def told(gold, pred, trace=None, pred_name=None, pred_trace=None):
        score = right(gold, pred)
        text = f"score {score:g}; expected {gold.label}, got {pred.label}"
        return dspy.Prediction(score=score, feedback=text)

    program = dspy.Predict(signature)
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
    with urllib.request.urlopen(f"{url}/calls") as answer:
        calls = json.load(answer)
    found = dspy.Evaluate(devset=rows["test"], metric=right, num_threads=threads)(best)
    print(json.dumps({"score": float(getattr(found, "score", found)) / 100, "calls": calls}))


main()
