"""What an editor is told: hovers, completions, mends, renames and more, without a connection."""

from pathlib import Path

import pytest
from lsprotocol import types as lsp

from lmc.check.optimize import METRICS
from lmc.check.settings import TABLE
from lmc.diagnostics import LmcError
from lmc.editor import wording
from lmc.editor.colours import MODIFIERS, TYPES
from lmc.editor.editor import Editor
from lmc.editor.inspected import Inspected
from lmc.source import Source
from lmc.syntax.printer import format_source

ROOT = Path(__file__).parents[2]
TRIAGE = ROOT / "examples" / "triage" / "triage.lmp"
URI = TRIAGE.as_uri()
BASE = TRIAGE.read_text("utf-8")
_MARK = "¦"
OF_TICKET = "Ticket(desk: str, queue: Queue) -> Ticket"


@pytest.fixture
def editor() -> Editor:
    return Editor()


def cursor(editor: Editor, text: str, uri: str = URI) -> lsp.Position:
    """Open a text without its mark, and give the place of the mark."""
    offset = text.index(_MARK)
    text = text.replace(_MARK, "", 1)
    editor.open(uri, 1, text)
    return lsp.Position(text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1)


def labels(editor: Editor, more: str) -> list[str]:
    at = cursor(editor, BASE + "\n" + more)
    items = editor.completion(URI, at)
    return [item.label for item in sorted(items, key=lambda item: item.sort_text or "")]


# --- completion ---


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ("pipeline p(m: str) -> str { let t = main(m)\n return t.¦\n", ["desk", "queue"]),
        ("pipeline p(q: Queue) -> str { return match q { angry => 1, ¦", ["calm", "worried"]),
        ("pipeline p(q: Queue) -> bool { return q == ¦", ["Queue.angry", "Queue.calm"]),
        ("pipeline p(q: Ticket) -> Ticket { return q with {¦", ["desk", "queue"]),
        ("pipeline p(message: str) -> Ticket { return main(¦", ["message", "message="]),
        ("pipeline p(xs: list[Row]) -> list[Row] { return sort_by(xs, .¦", ["desk", "message"]),
        ("vote v(message: str) -> Ticket { sample: main(message), by: .¦ }", ["desk", "queue"]),
        ("store s: Ticket { key: .¦ }", ["desk", "queue"]),
        ("generate g(m: str) -> str { layout: ¦ }", ['"auto"', '"chat"', '"json"', '"xml"']),
        ('generate g(m: str) -> str { layout: "¦" }', ["auto", "chat", "json", "xml"]),
        ('generate g(m: str) -> str { template: {user: "{{ ¦"} }', ["m", "demos", "format"]),
        ("optimize pick_desk { data: ¦ }", ["mail"]),
        ("optimize pick_desk { metric: ¦ }", ["accuracy", "contains", "f1", "numeric"]),
        ("optimize pick_desk { steps: [bootstrap(te¦)] }", ["candidates", "demos", "rounds"]),
        ("optimize pick_desk { steps: [boot¦] }", ["ablate", "auto", "bootstrap"]),
        ("model m { retry: {¦} }", ["backoff", "max", "on"]),
        ('from "lmc/self_refine" import ¦', ["draft_answer", "judge", "main", "refine_answer"]),
        ("example ¦", ["main", "pick_desk", "pick_queue", "route"]),
        ("record X { a: ¦ }", ["Message", "Queue", "Row", "Score", "Ticket"]),
        ('test "t" { stub ¦', ["main", "pick_desk"]),
    ],
)  # fmt: skip
def test_completion_knows_what_fits(editor: Editor, more: str, first: list[str]) -> None:
    assert labels(editor, more)[: len(first)] == first


@pytest.mark.parametrize("more", ["# a ¦", "generate g(¦", "record ¦", 'let a = "¦"'])
def test_completion_is_quiet_where_nothing_fits(editor: Editor, more: str) -> None:
    assert "main" not in labels(editor, more)


def test_completion_of_settings_has_their_words(editor: Editor) -> None:
    at = cursor(editor, BASE + "\ngenerate g(m: str) -> str { temperature: 1, ¦ }")
    found = {item.label: item for item in editor.completion(URI, at)}
    assert "temperature" not in found
    assert isinstance(found["max_tokens"].documentation, lsp.MarkupContent)
    assert "most tokens" in found["max_tokens"].documentation.value
    assert found["max_tokens"].text_edit is not None
    assert found["max_tokens"].text_edit.new_text == "max_tokens: "


def test_completion_of_imports_lists_the_library_and_files(editor: Editor) -> None:
    for more, wanted in [('from "¦"', "lmc/self_refine"), ('from "lmc/se¦"', "self_refine")]:
        assert wanted in labels(editor, more)
    assert "mail.jsonl" in labels(editor, 'dataset d: Row { source: "¦" }')
    nothing = labels(editor, 'from "../../../¦"')
    assert not [label for label in nothing if label.startswith((".", "/"))]


def test_completion_keeps_a_local_name_out_of_its_own_let(editor: Editor) -> None:
    found = labels(editor, "pipeline p(a: str) -> str { let one = ¦\n let two = a\n return a }")
    assert "a" in found
    assert not {"one", "two"} & set(found)


def test_every_setting_and_metric_has_its_words() -> None:
    lacking = [(k, key) for k in TABLE for key in TABLE[k] if not wording.about_setting(k, key)]
    assert lacking == []
    assert set(wording.METRICS) == set(METRICS)


# --- hovers and signatures ---


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("pipeline p(m: str) -> str { return pick_¦desk(m) }", ["At most 3 model calls"]),
        ("pipeline p(t: Tic¦ket) -> str { return t.desk }", ["record Ticket", "queue: Queue"]),
        ("pipeline p(t: Ticket) -> str { return t.de¦sk }", ["Ticket.desk: str"]),
        ("generate g(m: str) -> str { temp¦erature: 0.5 }", ["float(0..2)", "How freely"]),
        ("pipeline p(m: str) -> int { return le¦n(m) }", ["number of characters"]),
        ("optimize pick_desk { steps: [boot¦strap()] }", ["arXiv 2310.03714", "demos"]),
        ("optimize pick_desk { metric: accu¦racy }", ["equals the row's label"]),
        ("pipeline p(m: str) -> str { let a = [m]\n return a[¦0] }", ["str"]),
        ("pipeline p(m: str?) -> str { if m != none { return m¦ }\n return p(m) }", ["m: str\n"]),
    ],
)
def test_hover_tells_what_it_is(editor: Editor, more: str, parts: list[str]) -> None:
    found = editor.hover(URI, cursor(editor, BASE + "\n" + more))
    assert found is not None
    assert isinstance(found.contents, lsp.MarkupContent)
    for part in parts:
        assert part in found.contents.value


@pytest.mark.parametrize(
    ("more", "label", "active"),
    [
        ("pipeline p(m: str) -> Ticket { return main(¦", "main(message: str) -> Ticket", 0),
        ('pipeline p(m: str) -> Ticket { return Ticket("a", ¦', OF_TICKET, 1),
        ("pipeline p(m: str) -> Ticket { return Ticket(queue=¦", OF_TICKET, 1),
        ("pipeline p(m: str) -> str { return join([m], f(¦", None, None),
        ("pipeline p(m: str) -> str { return replace(m, ¦", "replace(text, old, new)", 1),
        ("optimize main { steps: [tune(¦", "tune(trials: int(1..1000) = 32)", 0),
        ("pipeline p(¦", None, None),
        ('pipeline p(m: str) -> str { return main("¦', None, None),
    ],
)  # fmt: skip
def test_signatures_follow_the_arguments(
    editor: Editor, more: str, label: str | None, active: int | None
) -> None:
    found = editor.signature(URI, cursor(editor, BASE + "\n" + more))
    assert (found.signatures[0].label if found else None) == label
    assert (found.active_parameter if found else None) == active


# --- mends ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("record R { a: st }", "record R { a: str }"),
        ("record R { ab: str }\npipeline p(r: R) -> str { return r.abc }", "return r.ab }"),
        ("record R { a: str }\npipeline p(r: R?) -> str? { return r.a }", "return r?.a }"),
        ("record R { a: str }\npipeline p(r: R) -> str { return r?.a }", "return r.a }"),
        ("pipeline p(a: float) -> int { return a }", "return round(a) }"),
        ("pipeline p(a: int) -> str { return a }", "return str(a) }"),
        ("pipeline p(a: str?) -> bool { return if a then true else false }", "if a != none then"),
        ("enum E { x y }\npipeline p(a: E) -> bool { return a == E.z }", None),
        ("pipeline p(a: str) -> bool { return a == 'x' && true }", "and true }"),
        ("pipeline p(a: str) -> bool { return null }", None),
        ('from "lmc/self_refine" import judge, main\nrecord R { a: str }', "import main\n"),
        ('from "lmc/self_refine" import judge\nrecord R { a: str }', "record R { a: str }"),
        ('generate g(a: str) -> str { model: "openai/gpt-4o-mini" }', "model: m }"),
        ("generate g(a: str) -> str { tempature: 1 }", "{ temperature: 1 }"),
        ("record R(depth: 3) { a: str }", "record R { a: str }"),
        ('pipeline p(a: str) -> str { return "Hi {a}" }', 'return f"Hi {a}" }'),
        ("pipeline p(a: str) -> list[str] { return [a a] }", "[a, a] }"),
    ],
)  # fmt: skip
def test_actions_mend_what_diagnostics_tell(editor: Editor, before: str, after: str | None) -> None:
    uri = "untitled:1"
    editor.open(uri, 1, before)
    seen = editor.seen(uri)
    assert seen is not None
    whole = lsp.Range(lsp.Position(0, 0), lsp.Position(99, 0))
    edits = [a.edit for a in editor.actions(uri, whole) if a.edit is not None]
    if after is None:
        assert all(edit.changes for edit in edits)
        return
    assert seen.found
    results = []
    for edit in edits:
        assert edit.changes is not None
        changes = [
            lsp.TextDocumentContentChangePartial(e.range, e.new_text) for e in edit.changes[uri]
        ]
        changes.sort(key=lambda c: (c.range.start.line, c.range.start.character), reverse=True)
        trial = Editor()
        trial.open(uri, 1, before)
        trial.change(uri, 2, changes)
        results.append(trial.texts.buffers[uri].source.text)
        again = trial.seen(uri)
        assert again is not None
        assert len(again.found) < len(seen.found)
    assert any(after in result for result in results), results


# --- names ---


def test_a_rename_reaches_fields_templates_and_labels(editor: Editor) -> None:
    text = (
        "record Note { tex¦t: str, done: bool = false }\n"
        'dataset rows: Note { source: "rows.jsonl", columns: {text: "body"} }\n'
        "vote v(note: Note) -> Note { sample: g(note), by: .text }\n"
        "generate g(note: Note) -> Note {\n"
        '  template: {user: "{{ note.text }} {{ format }}"}\n'
        "}\n"
        "pipeline main(xs: list[Note]) -> list[Note] {\n"
        '  return [x with {text: x.text + "!"} for x in sort_by(xs, .text)]\n'
        "}\n"
    )
    edit = editor.rename(URI, cursor(editor, text), "body")
    assert edit is not None
    assert edit.document_changes is not None
    (changes,) = edit.document_changes
    assert isinstance(changes, lsp.TextDocumentEdit)
    assert len(changes.edits) == 7


def test_a_rename_of_a_parameter_reaches_its_template(editor: Editor) -> None:
    text = (
        "generate g(wor¦ds: str, options: list[str]) -> one_of(options) {\n"
        '  template: {user: "{{ words }} {% if words %}{{ options }}{% endif %} {{ format }}"}\n'
        "}\n"
        'pipeline main(words: str) -> str { return g(words=words, options=["a"]) }\n'
    )
    edit = editor.rename(URI, cursor(editor, text), "said")
    assert edit is not None
    assert edit.document_changes is not None
    (changes,) = edit.document_changes
    assert isinstance(changes, lsp.TextDocumentEdit)
    assert len(changes.edits) == 4
    at = cursor(editor, text.replace(_MARK, "").replace("options: ", f"op{_MARK}tions: ", 1))
    assert len(editor.highlights(URI, at)) == 4


@pytest.mark.parametrize(
    ("new", "words"),
    [("if", "cannot be a name"), ("1a", "cannot be a name"), ("route", "already used|twice")],
)
def test_a_rename_that_breaks_the_program_is_refused(editor: Editor, new: str, words: str) -> None:
    at = cursor(editor, BASE.replace("vote pick_desk", f"vote pick_{_MARK}desk"))
    with pytest.raises(LmcError, match=words):
        editor.rename(URI, at, new)


# --- whole files ---


def test_formatting_keeps_line_ends(editor: Editor) -> None:
    text = "record  R {a: str}\r\n\r\nrecord S {\r\n b: str }\r\n"
    editor.open(URI, 1, text)
    changes = [
        lsp.TextDocumentContentChangePartial(e.range, e.new_text) for e in editor.formatting(URI)
    ]
    changes.sort(key=lambda c: c.range.start.line, reverse=True)
    editor.change(URI, 2, changes)
    result = editor.texts.buffers[URI_NAME].source.text
    assert result.replace("\r\n", "\n") == format_source(Source("", text))
    assert "\n" not in result.replace("\r\n", "")


URI_NAME = str(TRIAGE)


def test_semantic_tokens_are_in_order_and_known(editor: Editor) -> None:
    editor.open(
        URI,
        1,
        BASE + '\n# \U0001f600\ngenerate z(a: str) -> str { """Two\n\nlines\U0001f600.""" }\n',
    )
    data = editor.colours(URI)
    assert len(data) % 5 == 0
    line = character = end = 0
    for new_lines, start, length, kind, modifiers in zip(*[iter(data)] * 5):
        character = start if new_lines else character + start
        assert new_lines or character >= end
        line, end = line + new_lines, character + length
        assert length > 0
        assert kind < len(TYPES)
        assert modifiers < 1 << len(MODIFIERS)


def test_outline_and_folds(editor: Editor) -> None:
    editor.open(URI, 1, "# one\n# two\n" + BASE + "\npipeline broken(a: str) -> { }\n")
    found = {symbol.name: symbol for symbol in editor.outline(URI)}
    assert [child.name for child in found["Ticket"].children or ()] == ["desk", "queue"]
    assert found["broken"].detail == "has a syntax error"
    assert "test a ticket has the desk that most samples name" in found
    kinds = {fold.kind for fold in editor.folds(URI)}
    assert lsp.FoldingRangeKind.Comment in kinds


def test_lenses_run_tests_and_show_prompts(editor: Editor) -> None:
    editor.open(URI, 1, BASE + '\nexample route("I cannot log in.") -> "login"\n')
    titles = [lens.command for lens in editor.lenses(URI) if lens.command]
    assert {c.title for c in titles} == {
        "run test",
        "show prompt",
        "run with these inputs",
        "graph",
    }
    of_example = [c for c in titles if c.arguments and len(c.arguments) == 3]
    assert of_example[0].arguments is not None
    assert of_example[0].arguments[2] == {"message": "I cannot log in."}


def test_python_behind_a_tool_is_found(editor: Editor, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import os\n\n\ndef shout(text):\n    return text\n", "utf-8")
    uri = (tmp_path / "a.lmp").as_uri()
    at = cursor(editor, 'tool shout(text: str) -> str from "mine:sh¦out"\n', uri)
    (place,) = editor.definition(uri, at)
    assert place.uri == (tmp_path / "mine.py").as_uri()
    assert place.range.start.line == 3


def test_a_finding_of_a_file_is_told_once_and_in_its_own_words(
    editor: Editor, tmp_path: Path
) -> None:
    part = (tmp_path / "part.lmp").as_uri()
    text = 'generate ask(q: str) -> str {\n  """A."""\n  template: {user: "{{ q }}"}\n}\n'
    user = (tmp_path / "user.lmp").as_uri()
    editor.open(
        user, 1, 'from "part.lmp" import ask\npipeline main(q: str) -> str { return ask(q) }'
    )
    editor.open(part, 1, text)
    told = {one.uri: one.diagnostics for one in editor.diagnostics()}
    assert [one.code for one in told[part]] == ["dropped-instruction"]
    assert "`ask`" in told[part][0].message
    assert told[user] == []


def test_a_check_that_fails_leaves_the_others_their_findings(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor.open("untitled:1", 1, "oops")
    editor.open("untitled:2", 1, "oops")
    inspect = editor.inspector.inspect

    def failing(source: Source) -> Inspected:
        if source.name == "untitled:1":
            raise RuntimeError("a bug")
        return inspect(source)

    monkeypatch.setattr(editor.inspector, "inspect", failing)
    told = {one.uri: one.diagnostics for one in editor.diagnostics()}
    assert not told["untitled:1"]
    assert told["untitled:2"]
