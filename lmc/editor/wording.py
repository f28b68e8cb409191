"""What settings, metrics and words of the language mean, each in a sentence for an editor.

A test compares the tables with those of the checker, so that no setting lacks its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

_ANY = "*"

_ASKING = {
    "model": "The declared model that answers. Without it, that of `default`.",
    "temperature": "How freely the model samples, from 0 to 2. At 0, equal calls are made once.",
    "top_p": "Sample only from the most likely tokens that together have this probability.",
    "max_tokens": "The most tokens of an answer.",
    "seed": "The seed of sampling, for backends that take one.",
    "reasoning": (
        'How much a model thinks before it answers: `"off"`, `"minimal"`, `"low"`, `"medium"`,'
        ' `"high"`, or a number of tokens.'
    ),
    "strict": "Whether the server must keep to the schema by the letter.",
    "cache_prompt": (
        "Whether the provider is told what all prompts of the module begin with, to cache it:"
        ' `true`, `false`, or `"auto"` where that saves.'
    ),
    "cache": 'Where answers are kept: `"disk"`, `"memory"` (of this process), or `"off"`.',
    "retry": 'What happens after a failure: `{max: 3, backoff: 2.0, on: ["rate_limit"]}`.',
    "fallback": "The models that are asked, in this order, when this one fails.",
    "repair": "How often an answer that cannot be read is shown to the model to mend, 0 to 8.",
    "layout": (
        'How the prompt is laid out: `"chat"` (marked fields), `"json"` (schema), `"xml"`, or'
        ' `"auto"`, which measures what the model does best.'
    ),
    "stop": "Texts at which the answer ends.",
    "template": 'A prompt of your own, as Jinja: `{system: "…", user: "…"}`.',
    "adapter": "The name of the module's LoRA weights. Modules with the same name share them.",
    "demos": "The largest number of demonstrations in the prompt.",
    "reason": "`true` puts a hidden `reasoning: str` before the outputs.",
    "role": "A text of the parameters that stands before the instruction.",
    "begin": 'The beginning of the answer, which the model goes on with: `begin: "SELECT"`.',
    "keep": "`keep: 4000 tokens` leaves out the oldest turns of a conversation.",
    "require": "A condition on `out`. The prompt states it, and lmc enforces it.",
    "check": "A condition on `out`. lmc only records whether it holds.",
    "tool_calls": 'How an agent\'s model calls tools: `"native"`, `"text"` or `"auto"`.',
    "timeout": "Seconds for one request, its body or stream included.",
    "deadline": "Seconds for a call with all its retries and waits.",
    "concurrency": "The most requests at once. Fewer go out while the server answers 429.",
    "budget": "Limits, such as `{calls: 200, tokens: 1000000, usd: 1.5}`.",
    "rounds": "The most rounds.",
    "until": "The condition at which it stops.",
    "by": "What decides.",
}

_OF: Mapping[str, Mapping[str, str]] = {
    _ANY: _ASKING,
    "model": {
        "name": 'The provider and the model: `"openai/gpt-4o-mini"`. `lmc models` lists them.',
        "base_url": "The address of the server.",
        "api_key_env": "The environment variable that holds the key.",
        "dtype": 'Of a model that runs here: `"float32"` or `"bfloat16"`.',
        "dialect": 'The kind of the server, such as `"vllm"`, where its address does not tell it.',
        "extra": "Parameters that are passed on to the server as they are: `{top_k: 20}`.",
        "headers": 'Headers that are passed on: `{"X-Team": "a"}`. Keys go to `api_key_env`.',
        "load_adapters": "Whether lmc loads its own adapters into the model's vLLM server.",
        "lookup": "Of a model that runs here: guess what answers copy from their prompts.",
        "rpm": "The most requests in any minute.",
        "tpm": "The most tokens in any minute.",
        "price": "Dollars a million tokens: `{input: 0.15, output: 0.6}`.",
        "budget": (
            "Limits in `calls`, `tokens` or `usd` for as long as the program is loaded. A model"
            " that has used them up passes its calls to its `fallback`."
        ),
        "logprobs": "Whether the server gives log-probabilities, which `certainty` needs.",
    },
    "default": {
        "model": "The model of all modules that name none.",
        "shared_first": "Move shared inputs to the front of prompts, for prefix caches.",
    },
    "critique": {"subject": "The parameter that is judged."},
    "refine": {
        "draft": "The call that makes the first draft.",
        "clean": "What becomes of each draft `out` before it is checked, such as `code(out)`.",
        "check": "What judges a `draft`: a critique, a tool, a pipeline or an expression.",
        "until": "The condition over `draft` and `check` at which the draft passes.",
        "rounds": "The most revisions, 0 to 8.",
        "stop_early": '`"fixed_point"` stops at a revision that changes nothing, `"no_gain"` at one that is not judged better.',  # noqa: E501
    },
    "vote": {
        "sample": "The call that is sampled `n` times.",
        "n": "The number of samples, 1 to 64.",
        "by": (
            'How the vote decides: `.field` counts equal values; `"score"`, `"certainty"`,'
            ' `"steps"`, `"tournament"`, `"win_rate"`, or a number over `out`.'
        ),
        "normalize": "Whether texts that differ only in case, spaces and marks count as equal.",
        "ties": 'Who wins a tie: `"first"` or `"random"`.',
        "stop_early": (
            'When no more samples are drawn: `true` (`"settled"`), `"esc"`, `"asc"`,'
            ' `"asc_dirichlet"` or `"dsc"`.'
        ),
        "window": 'Of `stop_early: "esc"`: how many samples must agree, 2 to 64.',
        "confidence": 'Of `stop_early: "asc"`: the posterior probability that is enough.',
        "difficulty": 'Of `stop_early: "dsc"`: a number by which rows are ordered.',
        "weight": 'What a sample counts: `"score"`, `"certainty"`, or a number over `out`.',
        "compare": "A call that tells which of `first` and `second` is better.",
        "min_agree": "How many samples must agree, else the result is `none`.",
    },
    "search": {
        "expand": "The call that proposes the next step of a `path`.",
        "value": "The call that judges a `path`.",
        "until": "The condition over `path` at which the search ends.",
        "method": '`"beam"`, `"best_first"` or `"mcts"`.',
        "width": "How many steps are proposed for each path, 1 to 64.",
        "keep": "How many paths are kept, 1 to 64.",
        "depth": "The most steps of a path, 1 to 64.",
        "rounds": "The most rounds of the search, 1 to 256.",
    },
    "agent": {
        "tools": "The tools, modules and pipelines that the model may call.",
        "steps": "The most calls of tools in a row, 1 to 64.",
    },
    "route": {
        "by": "The enum or literal that chooses, or how sure an answer is.",
        "to": "The options: `{case: option(…)}`, or a list that is tried in order.",
        "threshold": "The first option whose `by` reaches it is taken.",
    },
    "tool": {
        "name": "The name that the server gives the tool.",
        "env": "The environment variables that a server's command gets.",
        "api_key_env": "The environment variable with the server's bearer token.",
        "pure": "`true`: it does nothing but give a value. Equal calls are made once.",
        "effect": "`true`: it acts in the world, and is called exactly as often as written.",
        "episode": "The most steps of an episode of this environment.",
        "cache": "`true` makes equal calls of one program once.",
        "timeout": "Seconds for one call, ten minutes without it.",
    },
    "dataset": {
        "source": 'The file with the rows, beside the program: `"rows.jsonl"`.',
        "columns": 'The columns of fields that are named otherwise: `{message: "text"}`.',
        "split": "Shares or counts of `train`, `dev` and `test`.",
        "seed": "The seed of the split.",
        "from": "Made rows: a call whose results are rows, or lists of rows.",
        "over": "The rows that the call in `from` takes its inputs from.",
        "where": "Which of the made rows are kept.",
        "n": "How many rows are made.",
    },
    "store": {
        "key": "The field that names a record: a string, an enum or an int.",
        "find": '`"words"`, or the name of a model of embeddings.',
        "keep": "The most records.",
        "path": "A file in the program's folder; without it `.lmc/stores.db`.",
        "url": "A database instead, by its SQLAlchemy URL.",
    },
    "optimize": {
        "data": "The dataset with the rows.",
        "metric": "The metric that judges results: a declared or a built-in one.",
        "steps": "The optimizers, in this order: `[bootstrap(demos=4), lora()]`.",
        "budget": "Limits of the compilation: `{calls: 2000, usd: 5, minutes: 30}`.",
        "seed": "The seed of everything that is drawn.",
        "keep": "The modules that optimizers must not change.",
        "guards": "Metrics and datasets whose score must not fall.",
        "objective": "What is improved besides the metric.",
    },
}

METRICS = {
    "accuracy": "Whether the result equals the row's label.",
    "f1": "The overlap of words with the row's label.",
    "contains": "Whether the result contains the row's label.",
    "numeric": "Whether the numbers are equal.",
    "preference": "Which of two results a judge prefers.",
}

WORDS = {
    "record": "A type with named fields.",
    "enum": "A type with named variants.",
    "type": "Another name for a type.",
    "model": "A model, and how to reach it.",
    "default": "Settings of all modules of this file.",
    "tool": "A Python function, or a tool of an MCP server.",
    "generate": "A module: a model makes the result from the parameters.",
    "critique": "A module that judges one of its parameters.",
    "refine": "A module that drafts, judges and revises.",
    "vote": "A module that draws samples and takes the value that most agree on.",
    "search": "A module that looks for the best path of steps.",
    "agent": "A module whose model calls tools.",
    "route": "A module that passes each input to one of its options.",
    "pipeline": "Statements that call modules and tools.",
    "metric": "A function of a row and a result that says how good the result is.",
    "example": "A demonstration, shown in the prompt of its module.",
    "dataset": "Rows of a file.",
    "store": "Records that the program keeps between its runs.",
    "optimize": "How `lmc compile` improves a module or pipeline.",
    "test": "A test, run by `lmc test`. A `stub` stands for a module's answer.",
    "tune": "Options among which an optimizer chooses; the first is the baseline.",
    "train": "A parameter that is there during optimization only.",
    "frozen": "An instruction that optimizers leave as it is.",
    "out": "The result that the module gave.",
    "loop": "Repeats its body at most a fixed number of times.",
    "match": "Chooses by the variant of an enum, a text, or the member of a union.",
}

TYPES = {
    "str": 'A text. `str(1..200)` bounds its length, `str(r"\\d+")` names its pattern.',
    "int": "A whole number; `int(0..10)` bounds it.",
    "float": "A number; `float(0..1)` bounds it.",
    "bool": "`true` or `false`.",
    "json": "Any JSON value.",
    "list": "`list[T]`, `list[T](1..5)`, `list[T](unique)`.",
    "dict": "`dict[str, T]`: an object with keys of its own.",
    "date": "A date, as `2026-01-31`.",
    "time": "A time of day.",
    "datetime": "A date with a time.",
    "decimal": "An exact decimal number.",
    "image": "An image that a model takes.",
    "audio": "A sound that a model takes.",
    "pdf": "A PDF that a model takes.",
    "media": "An image, a sound or a PDF.",
    "messages": "A conversation: a list of `Message`.",
    "one_of": "`one_of(options)`: one of the strings in a parameter.",
    "Verdict": "`{ok: bool, score: float(0..1), feedback: str}`.",
    "Score": "`{value: float, feedback: str}`.",
    "Message": "A turn of a conversation.",
}


def about_setting(kind: str, key: str) -> str:
    """What a setting of a kind of declaration does, in a sentence."""
    return _OF.get(kind, {}).get(key) or _OF[_ANY].get(key, "")
