"""Rows read, checked and split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmc.check.program import DatasetDef
from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph, Port
from lmc.measure.rows import Row, fingerprint, load_dataset, load_rows, split_rows, target_row
from lmc.source import Source, Span
from lmc.types import (
    BOOL,
    INT,
    STR,
    DictType,
    Field,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    UnionType,
)

ROW = RecordType(
    "Row",
    (
        Field("question", STR),
        Field("answer", INT),
        Field("tags", ListType(STR), "", True, []),
        Field("hint", OptionalType(STR), "", True, None),
        Field("easy", BOOL, "", True, False),
    ),
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_all_three_formats_give_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {"question": '2, 3?\nSay "5"', "answer": 5, "tags": ["a"], "hint": None, "easy": True},
        {"question": "12", "answer": -1, "tags": [], "hint": "é", "easy": False},
    ]
    jsonl = "\n".join(json.dumps(r) for r in rows) + "\n\n"
    table = (
        'question,answer,tags,hint,easy\n"2, 3?\nSay ""5""",5,"[""a""]",,True\n12,-1,[],é,false\n'
    )
    files = [
        written(tmp_path, "a.jsonl", "\ufeff" + jsonl),
        written(tmp_path, "a.json", json.dumps(rows)),
        written(tmp_path, "a.csv", table),
    ]
    for loaded in (load_rows(file, ROW) for file in files):
        assert [r.values for r in loaded] == rows
        assert [r.id for r in loaded] == [r.id for r in load_rows(files[0], ROW)]


def test_rows_without_a_type_are_taken_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"x": "5", "y": [1]}')
    assert load_rows(path)[0].values == {"x": "5", "y": [1]}
    assert load_rows(written(tmp_path, "a.csv", "x,y\n5,\n"))[0].values == {"x": "5", "y": ""}


def test_columns_may_have_other_names_and_others_may_be_kept(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"q": "?", "answer": 5, "gold": 1}')
    columns = {"question": "q"}
    assert "gold" not in load_rows(path, ROW, columns)[0].values
    values = load_rows(path, ROW, columns, others=True)[0].values
    assert (values["question"], values["gold"], "q" in values) == ("?", 1, False)


def test_a_target_says_which_rows_it_takes(tmp_path: Path) -> None:
    ports = (Port("question", STR), Port("k", INT, True, 3), Port("hint", STR, train=True))
    row = target_row(Graph("main", ports, STR, ()))
    path = written(tmp_path, "a.csv", "question,answer\n?,5\n")
    values = load_rows(path, row, others=True)[0].values
    assert (values["question"], values["k"], values["answer"]) == ("?", 3, "5")


BAD = [
    ("a.jsonl", '{"question": "?", "answer": 5}\n{"q', "a.jsonl:2:1: error[bad-row]: the row"),
    ("a.jsonl", '\n{"question": "?", "answer": "5"}', "a.jsonl:2:1: error[bad-row]: the row"),
    ("a.jsonl", '{"question": "?", "answer": "5"}', '`answer` must be an integer, got "5"'),
    ("a.jsonl", '{"question": "?", "anwser": 5}', "no column `answer`; it has question, anwser"),
    ("a.jsonl", '{"question": "?", "anwser": 5}', 'write `columns: {answer: "anwser"}`'),
    ("a.jsonl", "[1]", "a row must be an object"),
    ("a.jsonl", '{"question": "?", "answer": NaN}', "NaN is not a JSON value"),
    ("a.jsonl", "[" * 100_000, "the row is not JSON"),
    ("a.jsonl", "", "has no rows"),
    ("a.json", '{"question": "?"}', "must contain a list of objects"),
    ("a.json", '[\n{"question": "?",}]', "a.json:2:"),
    ("a.csv", "question,answer\nx,5\n\ny,z\n", "a.csv:4:1: error[bad-row]"),
    ("a.csv", "question,answer\nx\n", "a.csv:2:1: error[bad-row]: the row must have 2 cells"),
    ("a.txt", "x", "the file must end in .jsonl, .json, .csv"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "words"), BAD)
def test_bad_rows_are_told_with_their_line(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    with pytest.raises(LmcError) as problem:
        load_rows(written(tmp_path, name, text), ROW)
    assert words in str(problem.value)


def test_several_bad_rows_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"question": 1, "answer": 1}\n' * 9)
    with pytest.raises(LmcError) as problem:
        load_rows(path, ROW)
    assert len(problem.value.diagnostics) == 5


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(LmcError, match="cannot-read"):
        load_rows(tmp_path / "none.jsonl")
    (tmp_path / "a.jsonl").write_bytes(b'{"x": "\xff"}')
    with pytest.raises(LmcError, match="not UTF-8"):
        load_rows(tmp_path / "a.jsonl")


# --- splits ---


def rows_of(*questions: Any) -> list[Row]:
    return [Row(f"{i}-{q}", {"question": q, "answer": i}) for i, q in enumerate(questions)]


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=40),
    st.tuples(*[st.floats(0, 1 / 3)] * 3) | st.tuples(*[st.integers(0, 3)] * 3),
    st.integers(0, 3),
)
def test_no_row_and_no_input_is_in_two_splits(
    questions: list[int], sizes: tuple[float, ...], seed: int
) -> None:
    rows = rows_of(*questions)
    wanted = dict(zip(("train", "dev", "test"), sizes))
    if sum(s for s in sizes if isinstance(s, int)) > len(rows):
        with pytest.raises(LmcError, match="too-few-rows"):
            split_rows(rows, wanted)
        return
    split = split_rows(rows, wanted, seed=seed, inputs={"question"})
    parts = (split.train, split.dev, split.test)
    seen = [{r.values["question"] for r in part} for part in parts]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert len({r.id for r in split.all}) == len(split.all)
    assert all(len(p) <= s for p, s in zip(parts, sizes) if isinstance(s, int))
    assert split == split_rows(rows[::-1], wanted, seed=seed, inputs={"question"}) or len(
        set(questions)
    ) < len(questions)


def test_sizes_are_counts_or_shares() -> None:
    rows = rows_of(*range(50))
    split = split_rows(rows, {"train": 10, "dev": 5, "test": 20})
    assert [len(p) for p in (split.train, split.dev, split.test)] == [10, 5, 20]
    split = split_rows(rows, {"train": 0.5, "test": 0.5})
    assert [len(p) for p in (split.train, split.dev, split.test)] == [25, 0, 25]
    split = split_rows(rows)
    assert [len(p) for p in (split.train, split.dev, split.test)] == [20, 10, 20]
    assert {r.id for r in split.all} == {r.id for r in rows}


def test_a_split_depends_on_seed_and_not_on_the_order_of_the_file() -> None:
    rows = rows_of(*range(30))
    assert split_rows(rows, seed=1) == split_rows(rows[::-1], seed=1)
    assert split_rows(rows, seed=1) != split_rows(rows, seed=2)


def test_one_input_many_times_stays_in_one_split() -> None:
    split = split_rows(rows_of(*["same"] * 10), inputs={"question"})
    assert sum(bool(p) for p in (split.train, split.dev, split.test)) == 1


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"trian": 1}, "did you mean `train`"),
        ({"train": -1}, "a number of rows or a share"),
        ({"train": 1.5}, "a number of rows or a share"),
        ({"train": 8, "test": 8}, "more than the 10 rows"),
        ({"train": 0.8, "test": 0.8}, "more than the 10 rows"),
    ],
)
def test_impossible_splits_are_told(split: dict[str, float], words: str) -> None:
    with pytest.raises(LmcError, match=words):
        split_rows(rows_of(*range(10)), split)


def test_a_dataset_is_found_beside_its_program(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = "".join(f'{{"q": "{i}", "answer": {i}}}\n' for i in range(20))
    written(tmp_path / "data", "rows.jsonl", lines)
    source = Source("p.lmp", "dataset d: Row {}", tmp_path / "p.lmp")
    settings: dict[str, Any] = {
        "source": "data/rows.jsonl",
        "columns": {"question": "q"},
        "split": {"train": 8, "dev": 4, "test": 8},
        "seed": 3,
    }
    dataset = DatasetDef("d", Span(source, 0, 7), ROW, settings)
    split = load_dataset(dataset)
    assert [len(p) for p in (split.train, split.dev, split.test)] == [8, 4, 8]
    assert split == load_dataset(dataset, seed=4)
    del settings["seed"]
    assert split == load_dataset(dataset, seed=3) != load_dataset(dataset, seed=4)
    assert len(fingerprint(split.all)) == 64


def test_cells_of_a_csv_may_be_of_unions_and_sets(tmp_path: Path) -> None:
    a = RecordType("A", (Field("kind", LiteralType(("a",))), Field("x", INT, "", True, 1)))
    b = RecordType("B", (Field("kind", LiteralType(("b",))),))
    fields = (
        Field("label", UnionType((a, b))),
        Field("n", OptionalType(UnionType((INT, STR)))),
        Field("tags", ListType(STR, unique=True)),
        Field("counts", DictType(INT)),
    )
    row = RecordType("Row", fields)
    table = (
        "label,n,tags,counts\n"
        '"{""kind"": ""a""}",5,"[""u""]",{}\n'
        '"{""kind"": ""b""}",true,[],"{""k"": 2}"\n'
        '"{""kind"": ""b""}",,[],{}\n'
    )
    found = [r.values for r in load_rows(written(tmp_path, "a.csv", table), row)]
    assert found == [
        {"label": {"kind": "a", "x": 1}, "n": 5, "tags": ["u"], "counts": {}},
        {"label": {"kind": "b"}, "n": "true", "tags": [], "counts": {"k": 2}},
        {"label": {"kind": "b"}, "n": None, "tags": [], "counts": {}},
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"label": {"kind": "c"}, "tags": []}, "must have a `kind` that is one of: a, b"),
        ({"label": {"kind": "a"}, "tags": ["u", "u"]}, "`tags` must have each item once"),
    ],
)
def test_a_row_of_no_member_is_refused(tmp_path: Path, line: Any, problem: str) -> None:
    a, b = (RecordType(n, (Field("kind", LiteralType((n.lower(),))),)) for n in "AB")
    row = RecordType(
        "R", (Field("label", UnionType((a, b))), Field("tags", ListType(STR, unique=True)))
    )
    with pytest.raises(LmcError, match=problem):
        list(load_rows(written(tmp_path, "a.jsonl", json.dumps(line)), row))
