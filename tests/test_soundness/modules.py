"""Random declarations: modules, tools, environments and stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.test_soundness.expressions import ExpressionMaker, MadeCallable
from tests.test_soundness.kinds import (
    BOOL,
    FLOAT,
    GIVEN_ONLY,
    IMAGE,
    INT,
    JSON,
    MESSAGES,
    STR,
    Kind,
    RecordShape,
    Scope,
)

MOST_WEIGHT = 12  # of what another module asks several times
LABELS = '["red", "green", "not red", "Red!"]'


@dataclass
class Environment:
    """A tool with episodes: what resets it, and what an action is."""

    name: str
    reset: dict[str, Kind]
    action: Kind
    result: Kind


class ModuleMaker(ExpressionMaker):
    """Makes declarations that can be called."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.environments: list[Environment] = []
        self.judged = ("", "", "")

    def params(self, *, media: bool = False) -> dict[str, Kind]:
        """Some parameters. With `media`, there may be an image and a conversation too."""
        rng = self.rng
        found = {n: self.kind(2) for n in ("q", "given", "more")[: rng.randint(1, 3)]}
        if media and rng.random() < 0.12:
            found["photo"] = IMAGE
        if media and rng.random() < 0.12:
            found["history"] = MESSAGES
        return found

    def signature(self, name: str, params: Mapping[str, Kind], result: Kind | str) -> str:
        """A name with typed parameters and a result."""
        told = ", ".join(f"{n}: {self.src(k)}" for n, k in params.items())
        return f"{name}({told}) -> {result if isinstance(result, str) else self.src(result)}"

    def add(self, it: MadeCallable) -> MadeCallable:
        """Let later parts call it."""
        self.known.append(it)
        return it

    def pick(self) -> MadeCallable:
        """A module that is not too much to ask several times."""
        return self.rng.choice([c for c in self.known if c.asks and c.weight < MOST_WEIGHT])

    def passed(self, it: MadeCallable) -> str:
        """A call with parameters of the same names."""
        return f"{it.name}({', '.join(f'{n}={n}' for n in it.params)})"

    def call_with(self, it: MadeCallable, scope: Scope) -> str:
        """A call with arguments by name."""
        given = [f"{n}={self.expr(k, scope, 0)}" for n, k in it.params.items()]
        return f"{it.name}({', '.join(given)})"

    # --- calls of a model ---

    def settings(self, result: Kind) -> str:
        """Some settings of a module."""
        rng = self.rng
        layout, temperature = rng.choice(["chat", "json", "xml"]), rng.choice(["0", "0.0", "0.7"])
        some = [
            (0.6, f'layout: "{layout}"'),
            (0.25, f"temperature: {temperature}"),
            (0.15, "reason: true"),
            (0.3, f"repair: {rng.randint(0, 2)}"),
            (0.3 * (result == INT), "require: out >= 0"),
            (0.3 * (result[0] == "list"), "require: len(out) < 3"),
            (0.1, 'check: str(out) != "a"'),
            (0.1, 'role: "You are " + str(q)'),
        ]
        return " ".join(text for share, text in some if rng.random() < share)

    def generate(
        self, params: dict[str, Kind] | None = None, result: Kind | None = None
    ) -> MadeCallable:
        """A module; one in ten has a template, or the beginning of its answer."""
        rng, name = self.rng, self.fresh("m")
        params = params or self.params(media=True)
        result = result or self.kind(2)
        settings = self.settings(result)
        if rng.random() < 0.1:
            settings = self.template(name, params)
        elif result == STR and rng.random() < 0.2:
            settings = 'begin: "SELECT"'
        if "history" in params and rng.random() < 0.3:
            settings += " keep: 400 tokens"
        signature = self.signature(name, params, result)
        self.decls.append(f'generate {signature} {{ """Do @{name}@.""" {settings} }}')
        return self.add(MadeCallable(name, params, result, 1))

    def template(self, name: str, params: Mapping[str, Kind]) -> str:
        """A template that shows all parameters; a conversation turn by turn."""
        shown = " ".join(
            "{% for turn in history %}{{ turn.role }}: {{ turn.content }}{% endfor %}"
            if kind == MESSAGES
            else f"{{% if {n} %}}{n}: {{{{ {n} }}}}{{% endif %}}"
            for n, kind in params.items()
        )
        layout = self.rng.choice(["chat", "json", "xml"])
        system = f"{{{{ instructions }}}} @{name}@"
        user = f"{shown}\\n{{{{ format }}}}"
        return f'layout: "{layout}" template: {{system: "{system}", user: "{user}"}}'

    def labels(self) -> None:
        """A module whose labels are known at run time only, and a pipeline that calls it."""
        name, wrapper = self.fresh("m"), self.fresh("p")
        some: list[tuple[str, Kind]] = [
            ("one_of(options)", STR),
            ("list[one_of(options)](..2)", ("list", STR)),
            ("one_of(options)?", ("opt", STR)),
        ]
        form, result = self.rng.choice(some)
        signature = self.signature(name, {"q": STR}, form).replace(")", ", options: list[str])", 1)
        self.decls.append(f'generate {signature} {{ """Do @{name}@.""" {self.settings(("",))} }}')
        head = self.signature(wrapper, {"q": STR}, result)
        self.decls.append(f"pipeline {head} {{ return {name}(q, {LABELS}) }}")
        self.add(MadeCallable(wrapper, {"q": STR}, result, 1))

    def critique(self) -> MadeCallable:
        """A critique of what some module gives."""
        rng, name = self.rng, self.fresh("c")
        result = rng.choice(["Verdict", "bool", "int(1..5)", '"good" | "bad"'])
        base = rng.choice([c for c in self.known if c.asks])
        params = {"q": STR, "draft": base.result}
        self.decls.append(
            f'critique {self.signature(name, params, result)} {{ """Do @{name}@."""'
            f" subject: draft {self.settings(('',))} }}"
        )
        if result == "bool":
            self.add(MadeCallable(name, params, BOOL, 1))
        self.judged = (name, result, base.name)
        return base

    # --- regions ---

    def vote(self) -> None:
        """A vote over what some module gives."""
        rng, name, it = self.rng, self.fresh("w"), self.pick()
        if it.result == JSON:
            return
        n = rng.choice(["2", "3", "tune[1, 3]"])
        by = rng.choice(
            ["", "", 'by: "certainty"', "min", "doc", "stop_early: false", "stop_early: true"]
        )
        if it.result[0] == "rec" and rng.random() < 0.4:
            by = f"by: .{rng.choice([*self.records[it.result[1]].fields])}"
        result, doc = it.result, f'"""Do @{name}@."""' if by == "doc" else ""
        if by == "min" and result[0] not in ("opt", "json"):
            result = ("opt", result)
        by = {"min": "min_agree: 2", "doc": ""}.get(by, by)
        self.decls.append(
            f"vote {self.signature(name, it.params, result)}"
            f" {{ {doc} sample: {self.passed(it)} n: {n} {by} }}"
        )
        self.add(MadeCallable(name, it.params, result, 3 * it.weight + 1))

    def refine(self) -> None:
        """A refine of what some module gives."""
        rng, name, it = self.rng, self.fresh("f"), self.critique()
        judge, gives, _ = self.judged
        until = {"bool": "check", "Verdict": "check.ok", "int(1..5)": "check > 3"}.get(
            gives, 'check == "good"'
        )
        stop = rng.choice(["", "", 'stop_early: "fixed_point"', 'stop_early: "no_gain"'])
        stop = "" if gives != "Verdict" and "gain" in stop else stop
        params = {"q": STR} | {n: k for n, k in it.params.items() if n not in ("q", "draft")}
        self.decls.append(
            f'refine {self.signature(name, params, it.result)} {{ """Do @{name}@."""'
            f" draft: {self.call_with(it, params)}"
            f" check: {judge}({self.expr(STR, params, 0)}, draft) until: {until}"
            f" rounds: {rng.choice(['0', '1', '2', 'tune[1, 2]'])} {stop} }}"
        )
        self.add(MadeCallable(name, params, it.result, 8))

    def route(self) -> None:
        """A route among two modules."""
        rng, name, it = self.rng, self.fresh("o"), self.pick()
        params = it.params
        other = self.generate(dict(params), it.result)
        first, second = self.passed(it), self.passed(other)
        if self.enums and rng.random() < 0.5:
            enum = rng.choice([*self.enums])
            chooser = self.generate(dict(params), ("enum", enum))
            to = ", ".join(f"{v}: {first if i else second}" for i, v in enumerate(self.enums[enum]))
            body = f"by: {self.passed(chooser)} to: {{{to}}}"
        else:
            by = rng.choice(['"certainty"', "float(len(str(out))) / 10"])
            threshold = rng.choice(["0.5", "tune[0.2, 0.9]"])
            body = f"to: [{first}, {second}] by: {by} threshold: {threshold}"
        self.decls.append(f"route {self.signature(name, params, it.result)} {{ {body} }}")
        self.add(MadeCallable(name, params, it.result, 2 + it.weight))

    def search(self) -> None:
        """A search, in an environment if there is one that fits."""
        rng, name = self.rng, self.fresh("s")
        fitting = [e for e in self.environments if e.reset == {"q": STR}]
        world = rng.choice(fitting) if fitting and rng.random() < 0.7 else None
        item = world.action if world else self.kind(1, plain=True)
        step = self.generate({"q": STR, "path": ("list", item)}, item)
        value = rng.choice(["float(len(path))", "judge", "len(str(path)) % 5"])
        if world:
            value = f"len(str({world.name}(q, path))) % 7"
        elif value == "judge":
            judge = self.generate({"q": STR, "path": ("list", item)}, FLOAT)
            value = f"{judge.name}(q, path)"
        method = rng.choice(['"beam"', '"best_first"', '"mcts"'])
        self.decls.append(
            f"search {self.signature(name, {'q': STR}, ('list', item))} {{"
            f" expand: {step.name}(q, path) value: {value}"
            f" until: len(path) >= {rng.randint(1, 2)} method: {method}"
            f" width: {rng.randint(1, 2)} keep: {rng.randint(1, 2)}"
            f" depth: {rng.randint(1, 3)} rounds: 2 }}"
        )
        self.add(MadeCallable(name, {"q": STR}, ("list", item), 12))

    def agent(self) -> None:
        """An agent with some tools; it may act in an environment."""
        rng, name = self.rng, self.fresh("g")
        # No model can write an image or a conversation.
        can = [it for it in self.known if not set(it.params.values()) & set(GIVEN_ONLY)]
        tools = [tool.name for tool in rng.sample(can, min(len(can), rng.randint(1, 2)))]
        params, result = self.params(media=True), self.kind(1)
        if self.environments and rng.random() < 0.7:
            world = rng.choice(self.environments)
            params |= world.reset
            tools = [world.name, *(tool for tool in tools if tool != world.name)]
        if not tools:
            return
        self.decls.append(
            f'agent {self.signature(name, params, result)} {{ """Do @{name}@."""'
            f" tools: [{', '.join(tools)}] steps: {rng.randint(1, 3)} }}"
        )
        self.add(MadeCallable(name, params, result, 12))

    # --- tools and stores ---

    def tool(self) -> None:
        """A Python function."""
        rng, name = self.rng, self.fresh("t")
        params, result = self.params(media=True), self.kind(2)
        setting = rng.choice(["", "", "{ pure: true }", "{ cache: true }", "{ effect: true }"])
        head = self.signature(name, params, result)
        self.decls.append(f'tool {head} from "none:{name}" {setting}')
        if "effect" not in setting:
            self.add(MadeCallable(name, params, result, 0, asks=False))

    def environment(self) -> None:
        """A tool with episodes."""
        rng, name = self.rng, self.fresh("e")
        reset = {"q": rng.choice([STR, STR, self.kind(1)])}
        world = Environment(name, reset, self.kind(1, plain=True), self.kind(2))
        params = reset | {"actions": ("list", world.action)}
        head = self.signature(name, params, world.result)
        self.decls.append(f'tool {head} from "none:{name}" {{ episode: {rng.randint(1, 4)} }}')
        self.environments.append(world)
        self.add(MadeCallable(name, params, world.result, 0, asks=False))

    def store(self) -> None:
        """A store with a record of its own."""
        rng, name = self.rng, self.fresh("k")
        shape = RecordShape(self.fresh("R"), {"key": STR, "text": self.kind(1)})
        fields = ", ".join(f"{n}: {self.src(k)}" for n, k in shape.fields.items())
        self.decls.append(f"record {shape.name} {{ {fields} }}")
        self.records[shape.name] = shape
        keep = f'key: .key keep: {rng.randint(1, 3)} path: "none.db"'
        self.decls.append(f"store {name}: {shape.name} {{ {keep} }}")
        self.stores[name] = (shape.name, "key")
