"""Rows are equal wherever they come from; strangers' files are bounded; programs cannot connect."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import pickle
import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.measure.rows import SourceRows, dataset_file, load_rows
from lmc.measure.sources import RowSource, TableRows, file_source, given_source, object_source
from lmc.models.scripted import Scripted
from lmc.source import Source
from lmc.types import RecordType
from tests.programs import lowered

ROW = """
enum Desk { login, lamp }
record Part { name: str, count: int = 1, note: str? = none }
record Row {
  text: str, count: int, price: float, done: bool, desk: Desk, day: date, at: datetime,
  money: decimal, tags: list[str], part: Part, parts: list[Part], extra: dict[str, int],
  gap: int? = none, hint: str? = none, size: int = 7,
}
"""
# The same two rows as JSON, and as Python has their values.
ROWS: list[dict[str, Any]] = [
    {
        "text": "a", "count": 3, "price": 2.0, "done": True, "desk": "login", "day": "2026-01-31",
        "at": "2026-01-31T14:30:00.5", "money": "12.5", "tags": ["x", "y"],
        "part": {"name": "lamp", "count": 2, "note": "n"}, "parts": [{"name": "b"}],
        "extra": {"k": 1}, "gap": 4, "hint": "h", "size": 9,
    },
    {
        "text": "", "count": -1, "price": 0.25, "done": False, "desk": "lamp", "day": "1999-12-31",
        "at": "1999-12-31T00:00:00", "money": "-3", "tags": [], "part": {"name": ""}, "parts": [],
        "extra": {"k": 2}, "gap": None, "hint": None,
    },
]  # fmt: skip
PYTHON: list[dict[str, Any]] = [
    {
        **ROWS[0], "day": dt.date(2026, 1, 31), "at": dt.datetime(2026, 1, 31, 14, 30, 0, 500000),
        "money": Decimal("12.50"), "parts": [{"name": "b", "count": None, "note": None}],
    },
    {
        **ROWS[1], "day": dt.date(1999, 12, 31), "at": dt.datetime(1999, 12, 31),
        "money": Decimal("-3.00"), "size": None,
        "part": {"name": "", "count": None, "note": None},
    },
]  # fmt: skip
NESTED = ("tags", "part", "parts", "extra")


def row_type() -> RecordType:
    text = ROW + 'generate main(row: Row) -> str { "Say it." }'
    found = lowered(text).graphs["main"].inputs[0].type
    assert isinstance(found, RecordType)
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of a text table: what is no text is JSON; a field that is left out has its JSON."""
    row = {"size": 7} | row
    values = (row[name] for name in COLUMNS)
    return ["" if v is None else v if isinstance(v, str) else json.dumps(v) for v in values]


COLUMNS = list(ROWS[0])


def delimited(path: Path, mark: str) -> None:
    import csv

    with path.open("w", newline="") as file:
        dialect = "excel" if mark == "," else "excel-tab"
        csv.writer(file, dialect).writerows([COLUMNS, *map(cells, ROWS)])


def lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def text_file(name: str) -> Callable[[Path], RowSource]:
    def make(folder: Path) -> RowSource:
        path = folder / name
        inner = name.removesuffix(".gz").removesuffix(".zst")
        if inner.endswith((".csv", ".tsv")):
            delimited(folder / inner, "," if inner.endswith("csv") else "\t")
            data = (folder / inner).read_bytes()
        else:
            data = json.dumps(ROWS).encode() if inner.endswith(".json") else lines()
        if name.endswith(".zst"):
            data = pytest.importorskip("zstandard").compress(data)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return given_source(str(path))

    return make


def arrow_table() -> Any:
    pa = pytest.importorskip("pyarrow")
    part = pa.struct([("name", pa.string()), ("count", pa.int64()), ("note", pa.string())])
    types = {
        "money": pa.decimal128(10, 2), "desk": pa.dictionary(pa.int32(), pa.string()),
        "part": part, "parts": pa.list_(part), "extra": pa.map_(pa.string(), pa.int64()),
        "at": pa.timestamp("us"), "tags": pa.list_(pa.string()),
    }  # fmt: skip
    return pa.table(
        {name: pa.array([row[name] for row in PYTHON], types.get(name)) for name in COLUMNS}
    )


def parquet(folder: Path) -> RowSource:
    table = arrow_table()
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "a.parquet", row_group_size=1)
    return given_source(str(folder / "a.parquet"))


def ipc(compression: str | None, *, stream: bool = False) -> Callable[[Path], RowSource]:
    def make(folder: Path) -> RowSource:
        table = arrow_table()
        import pyarrow as pa

        options = pa.ipc.IpcWriteOptions(compression=compression)
        path = folder / "a.arrow"
        new = pa.ipc.new_stream if stream else pa.ipc.new_file
        with new(str(path), table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=1)
        return given_source(str(path))

    return make


def frame(kind: str) -> Callable[[Path], RowSource]:
    def make(folder: Path) -> RowSource:
        library = pytest.importorskip(kind)
        if kind == "pandas":
            found = library.DataFrame(PYTHON)
            found["desk"] = found["desk"].astype("category")
            found["at"] = library.to_datetime(found["at"])
            assert found["gap"].dtype == "float64"  # a gap made whole numbers floats
        else:
            found = library.from_dicts(PYTHON, infer_schema_length=None, strict=False)
            extra = [list(row["extra"].items()) for row in PYTHON]
            assert extra
        source = object_source(found)
        assert source is not None
        return source

    return make


def arrow_in_memory(folder: Path) -> RowSource:
    source = object_source(arrow_table())
    assert source is not None
    return source


def mappings(folder: Path) -> RowSource:
    np = pytest.importorskip("numpy")
    rows = [
        row | {
            "count": np.int32(row["count"]), "price": np.float32(row["price"]),
            "done": np.bool_(row["done"]), "tags": np.array(row["tags"], dtype=object),
            "at": np.datetime64(row["at"]), "text": np.str_(row["text"]),
            "gap": float("nan") if row["gap"] is None else row["gap"],
        }
        for row in PYTHON
    ]  # fmt: skip
    return TableRows("the data", lambda: rows)


def dataset_table() -> Any:
    """The table as datasets have it: they know no maps, so it has a text of JSON."""
    table = arrow_table()
    place = table.column_names.index("extra")
    return table.set_column(place, "extra", [[json.dumps(row["extra"]) for row in ROWS]])


def hugging_face(folder: Path) -> RowSource:
    datasets = pytest.importorskip("datasets")
    source = object_source(datasets.Dataset(dataset_table()))
    assert source is not None
    return source


def saved_dataset(folder: Path) -> RowSource:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset(dataset_table()).save_to_disk(folder / "saved")
    return given_source(str(folder / "saved"))


def sql(folder: Path) -> RowSource:
    path = folder / "mail.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE mail ({', '.join(COLUMNS)})")
        for row in PYTHON:
            values = [
                json.dumps({k: v for k, v in value.items() if v is not None} if name == "part"
                           else value)
                if name in NESTED else str(value) if isinstance(value, Decimal)
                else value.isoformat() if isinstance(value, dt.date) else value
                for name, value in row.items()
            ]  # fmt: skip
            named = ", ".join(row)
            db.execute(f"INSERT INTO mail ({named}) VALUES ({', '.join('?' * len(row))})", values)
    db.close()
    return given_source(f"sqlite:///{path}#SELECT * FROM mail WHERE text <> ':no' -- all")


def pattern(folder: Path) -> RowSource:
    for name, row in zip("ab", ROWS):
        (folder / f"{name}.jsonl").write_text(json.dumps(row))
    (folder / "notes.txt").write_text("no row")
    return given_source(f"{folder}/*.jsonl")


def whole_folder(folder: Path) -> RowSource:
    pattern(folder)
    (folder / "_SUCCESS").write_text("")
    (folder / ".hidden.jsonl").write_text("no row")
    return given_source(str(folder))


SOURCES: dict[str, Callable[[Path], RowSource]] = {
    **{name: text_file(name) for name in (
        "a.jsonl", "a.ndjson", "a.json", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.gz", "a.json.zst",
        "a.tsv.zst",
    )},
    "parquet": parquet, "arrow": ipc(None), "feather lz4": ipc("lz4"), "arrow zstd": ipc("zstd"),
    "arrow stream": ipc("zstd", stream=True), "table of arrow": arrow_in_memory,
    "pandas": frame("pandas"), "polars": frame("polars"), "numpy": mappings,
    "datasets": hugging_face, "saved dataset": saved_dataset, "sql": sql, "pattern": pattern,
    "folder": whole_folder,
}  # fmt: skip


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_bytes(lines())
    return [dict(row.values) for row in load_rows(path, row_type())]


@pytest.mark.filterwarnings("ignore:Cannot locate reference")  # of dill, for `datasets`
@pytest.mark.parametrize("name", SOURCES)
def test_rows_are_equal_whatever_their_source(
    name: str, tmp_path: Path, wanted: list[dict[str, Any]]
) -> None:
    found = SourceRows(SOURCES[name](tmp_path), row_type())
    assert [row.values for row in found] == wanted
    assert json.dumps([row.values for row in found]) == json.dumps(wanted)  # types too
    assert len(found.head(1)) == len([*found.head(1)]) == 1


def test_values_without_a_type_are_plain(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({
        "n": [1, None], "i": pd.array([1, None], dtype="Int64"), "f": [0.5, None],
        "t": pd.to_datetime(["2026-01-31", None]), "c": pd.Categorical(["a", None]),
        "b": [b"\x00\xff", None],
    })  # fmt: skip
    source = object_source(frame)
    assert source is not None
    one, two = (row.values for row in SourceRows(source))
    assert one == {
        "n": 1, "i": 1, "f": 0.5, "t": "2026-01-31T00:00:00", "c": "a", "b": "AP8=",
    }  # fmt: skip
    assert two == dict.fromkeys("nif", None) | dict.fromkeys("tcb", None)
    assert type(one["n"]) is int


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("inf"), "`x` is infinite"),
        (object(), "`x` is a Python object"),
        (b"\xff", "`x` is bytes that are not UTF-8 at byte 0"),
        (3, "x"),
    ],
)
def test_values_that_do_not_fit_name_row_and_column(value: Any, words: str) -> None:
    row = lowered('record R { x: str }\ngenerate main(r: R) -> str { "?" }')
    type = row.graphs["main"].inputs[0].type
    assert isinstance(type, RecordType)
    with pytest.raises(LmcError, match="the data, row 2: .*" + words):
        list(SourceRows(TableRows("the data", lambda: [{"x": "a"}, {"x": value}]), type))


def test_a_bad_row_of_parquet_names_its_row_group(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"count": [1, 2, None]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    program = lowered('record R { count: int }\ngenerate main(r: R) -> str { "?" }')
    type = program.graphs["main"].inputs[0].type
    assert isinstance(type, RecordType)
    with pytest.raises(LmcError, match=r"a\.parquet, row group 2, row 3: .*count"):
        list(SourceRows(given_source(str(tmp_path / "a.parquet")), type))


# --- memory ---


def test_rows_are_streamed(tmp_path: Path) -> None:
    """20 MB of rows pass through a fraction of that memory."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    packed = tmp_path / "a.jsonl.gz"
    with gzip.open(packed, "wt", compresslevel=1) as file:
        for number in range(40):
            file.write(json.dumps({"x": f"{number}" + "y" * 250_000}) + "\n")
    with pq.ParquetWriter(tmp_path / "a.parquet", pa.schema([("x", pa.string())])) as writer:
        for _ in range(40):
            writer.write_table(pa.table({"x": [f"{n}" + "z" * 10_000 for n in range(25)]}))
    for path in (packed, tmp_path / "a.parquet"):
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        peak = 0
        for _ in SourceRows(file_source(path)):
            peak = max(peak, pa.total_allocated_bytes() - before)
        assert tracemalloc.get_traced_memory()[1] + peak < 4 << 20
        tracemalloc.stop()


# --- strangers' files ---


def refused(source: RowSource | str) -> str:
    with pytest.raises(LmcError) as failure:
        list(SourceRows(given_source(source) if isinstance(source, str) else source))
    return str(failure.value)


def test_compressed_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc.measure.text_rows.FREE_BYTES", 4 << 20)
    bomb = (b" " * 65_535 + b"\n") * 256  # 16 MB
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(bomb))
    assert "more than 300 times its size" in refused(f"{tmp_path}/a.jsonl.gz")
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "a.csv.zst").write_bytes(zstandard.compress(bomb))
    assert "more than 300 times its size" in refused(f"{tmp_path}/a.csv.zst")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
def test_a_line_has_a_greatest_length(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc.measure.text_rows.MOST_LINE_BYTES", 1000)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"x" * 2000))
    assert "more than 1,000" in refused(f"{tmp_path}/{name}.gz")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other"])
def test_damaged_files_are_told(name: str, damage: str, tmp_path: Path) -> None:
    for module in ("zstandard", "pyarrow"):
        pytest.importorskip(module)
    make = SOURCES[name] if name in SOURCES else {
        "a.jsonl.zst": text_file("a.jsonl.zst"), "a.parquet": parquet, "a.arrow": ipc("lz4"),
    }[name]  # fmt: skip
    make(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    if damage == "flipped":
        for place in range(len(data) // 3, len(data), 7):
            data[place] ^= 0x55
    new = {"cut": bytes(data[: len(data) // 2]), "empty": b"", "other": b"\x80\x04hello world"}
    (tmp_path / name).write_bytes(new.get(damage, bytes(data)))
    assert any(code in refused(f"{tmp_path}/{name}") for code in ("bad-row", "no-rows", "cannot"))


def test_a_column_that_unpacks_to_too_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    monkeypatch.setattr("lmc.measure.table_rows.MOST_CHUNK_BYTES", 1 << 20)
    table = pa.table({"small": ["a"], "huge": ["\0" * (4 << 20)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    told = refused(f"{tmp_path}/a.parquet")
    assert "row group 1: the column `huge` has 4,1" in told
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        with new(str(tmp_path / "a.arrow"), table.schema, options=options) as writer:
            writer.write_table(table)
        assert "a record batch unpacks to 4,1" in refused(f"{tmp_path}/a.arrow")
        encoded = table.set_column(1, "huge", table["huge"].dictionary_encode())
        with new(str(tmp_path / "a.arrow"), encoded.schema, options=options) as writer:
            writer.write_table(encoded)
        assert "a record batch unpacks to 4,1" in refused(f"{tmp_path}/a.arrow")


class Harm:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.npy", "a.jsonl", "a.parquet", "a.gz"])
def test_pickles_are_never_loaded(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Harm()))
    assert "error[" in refused(f"{tmp_path}/{name}")


# --- queries ---


@pytest.fixture
def database(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "m.db")) as db, db:
        db.execute("CREATE TABLE mail (q TEXT, answer TEXT)")
        db.executemany("INSERT INTO mail VALUES (?, ?)", [("a", "x"), ("b", "y")])
    db.close()
    return f"sqlite:///{tmp_path}/m.db"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "names a database, but no query"),
        ("#DELETE FROM mail", "does not begin with SELECT"),
        ("#/* SELECT */ DROP TABLE mail", "does not begin with SELECT"),
        ("#WITH x AS (SELECT 1) DELETE FROM mail", "cannot read rows"),
        ("#SELECT 1; DELETE FROM mail", "cannot read rows"),
        ("#SELECT missing FROM mail", "no such column: missing"),
        ("#SELECT q, answer AS q FROM mail", "gives a column twice"),
        ("#SELECT q FROM mail WHERE q = 'z'", "has no rows"),
    ],
)
def test_queries_only_read(query: str, words: str, database: str) -> None:
    assert words in refused(database + query)
    assert len(SourceRows(given_source(f"{database}#SELECT * FROM mail"))) == 2


def test_passwords_are_not_told() -> None:
    told = refused("postgresql+nodriver://me:pa55word@host/db#SELECT 1")
    assert "pa55word" not in told
    assert "cannot-query" in told


def test_a_query_is_measured_on(database: str, tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { "Say it." }\n')
    program = lmc.load(tmp_path / "p.lmp", backend=Scripted(["x", "no"]), cache=False)
    found = lmc.evaluate(program, f"{database}#SELECT q, answer FROM mail ORDER BY q")
    assert found.values == (1.0, 0.0)


# --- programs name files only ---


def dataset(source: str, folder: Path) -> Any:
    text = f'record R {{ q: str }}\ndataset d: R {{ source: "{source}" }}\n'
    program, _ = check_program(Source(str(folder / "p.lmp"), text, folder / "p.lmp"))
    assert program is not None
    return program.datasets["d"]


@pytest.mark.parametrize("source", ["sqlite:///m.db#SELECT 1", "hf:imdb", "postgresql://h/d"])
def test_a_program_cannot_connect(source: str, tmp_path: Path) -> None:
    with pytest.raises(LmcError, match="data-not-allowed"):
        dataset_file(dataset(source, tmp_path), tmp_path)


def test_the_files_of_a_program_are_in_its_folder(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home / "rows", other):
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text('{"q": "x"}\n')
    assert len(dataset_file(dataset("rows/*.jsonl", home), home)) == 1
    assert len(dataset_file(dataset("rows", home), home)) == 1
    (home / "rows" / "b.jsonl").symlink_to(other / "a.jsonl")
    for source in ("rows/*.jsonl", "rows", "../other/*.jsonl", f"{other}/*.jsonl"):
        with pytest.raises(LmcError, match="outside-folder"):
            dataset_file(dataset(source, home), home)
    allowed = Consent(paths=(other,))
    assert len(dataset_file(dataset("rows", home), home, allowed)) == 2


@pytest.mark.slow  # its import alone takes seconds
def test_a_dataset_by_name_is_read_by_its_library(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "train.jsonl").write_text('{"q": "x"}\n{"q": "y"}\n')
    rows = SourceRows(given_source(f"hf:{tmp_path}#train"))
    assert [row.values for row in rows] == [{"q": "x"}, {"q": "y"}]
    assert "cannot-read" in refused(f"hf:{tmp_path}/nowhere")


def test_parts_of_a_dataset_are_named() -> None:
    with pytest.raises(LmcError, match='give one of \\["train"\\], \\["test"\\]'):
        object_source({"train": [], "test": []})


# --- results ---


def test_results_are_written_as_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from lmc.measure.results import read_results
    from lmc.program.measuring import evaluate_against
    from lmc.program.options import EvaluateOptions

    (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { "Say it." }\n')
    rows = [{"q": "1", "answer": "x"}, {"q": "2", "answer": "é\ud800"}]
    program = lmc.load(tmp_path / "p.lmp", backend=Scripted(["x", "\ud800"] * 4), cache=False)
    options = EvaluateOptions(data=rows)
    for name in ("out.parquet", "out.jsonl"):
        evaluate_against(tmp_path / name, program, None, lambda task, rows: None, options)
    assert pq.read_table(tmp_path / "out.parquet").column("score").to_pylist() == [1.0, 0.0]
    table, text = (list(read_results(tmp_path / f"out.{end}")) for end in ("parquet", "jsonl"))
    told = [[(r["id"], r["score"], r["pred"]) for r in rows] for rows in (table, text)]
    assert told[0] == told[1] == [("1", 1.0, "x"), ("2", 0.0, "\ufffd")]
    base = tmp_path / "out.parquet"
    _, scores = evaluate_against(
        tmp_path / "b.jsonl", program, base, lambda task, rows: None, options
    )
    assert scores == {"1": 1.0, "2": 0.0}
