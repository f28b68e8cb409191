"""Blocks of a table: runs a program on the rows of one, and adds its results as columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.measure.evaluate import UNSCORED, RowResult, evaluate_each
from lmc.measure.results_tables import result_rows, result_schema
from lmc.measure.rows import BadRow, Row, column_of, table_row
from lmc.measure.table_rows import pyarrow, table_rows
from lmc.measure.text_rows import NoRows
from lmc.media.given import Access
from lmc.types import RecordType

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


@frozen
class BlockRows:
    """How the rows of a table become inputs: their type, and columns of other names."""

    type: RecordType
    columns: Mapping[str, str]
    consent: Consent

    def needed(self, names: Collection[str]) -> list[str]:
        """Those of the columns that the inputs are made of."""
        wanted = {column_of(field, self.columns, names) for field in self.type.fields}
        return [name for name in names if name in wanted]

    def require(self, names: Collection[str]) -> None:
        """See that there is a column for each input. Raises: LmcError[missing-column]."""
        for field in self.type.fields:
            column = column_of(field, self.columns, names)
            if not field.has_default and column not in names:
                message = f"the rows have no column `{column}`; they have {', '.join(names)}"
                raise LmcError.of("missing-column", message)

    def read(self, table: Any) -> tuple[dict[int, Row], dict[int, RowResult]]:
        """The rows of a `pyarrow.Table` by their places, and why others are none."""
        access = Access(None, consent=self.consent)
        rows, bad = {}, {}
        try:
            for place, raw in enumerate(table_rows(pyarrow("a dataset"), table)):
                try:
                    rows[place] = Row(str(place), table_row(raw, self.type, self.columns, access))
                except BadRow as problem:
                    told = f"{problem.message}; {problem.help}" if problem.help else problem.message
                    bad[place] = RowResult("", None, error=told, failed="row")
        except NoRows as problem:
            raise LmcError.of("bad-row", f"the dataset: {problem.message}") from None
        return rows, bad


async def block_results(executor: Executor, target: str, rows: BlockRows, table: Any) -> Any:
    """The results of the rows of a `pyarrow.Table`, as a table of `result_schema`.

    A row that does not have the type of the inputs has an error as its result.
    Raises: LmcError[budget-exceeded], and mistakes in the setting of the program.
    """
    taken, results = rows.read(table)
    places = list(taken)

    def take(number: int, result: RowResult) -> None:
        results[places[number]] = result

    if taken:
        await evaluate_each(executor, target, tuple(taken.values()), UNSCORED, take)
    return _table(results[place] for place in range(table.num_rows))


def block_failures(rows: int, why: str) -> Any:
    """A table of failures, of rows that no worker could run."""
    failed = RowResult("", None, error=why, failed="infrastructure")
    return _table(failed for _ in range(rows))


def joined(table: Any, results: Any) -> Any:
    """A table with the columns of its results. Raises: LmcError[bad-row]."""
    require_free(table.schema.names)
    for name in results.schema.names:
        table = table.append_column(results.schema.field(name), results.column(name))
    return table


def require_free(names: Iterable[str]) -> None:
    """See that columns of rows and of results have different names. Raises: LmcError[bad-row]."""
    for name in sorted({*names} & {*result_schema().names}):
        message = f"the rows have a column `{name}`, as the results do"
        raise LmcError.of("bad-row", message, help="give it another name")


def _table(results: Iterable[RowResult]) -> Any:
    rows = [*result_rows(results)]
    return pyarrow("a dataset").Table.from_pylist(rows, result_schema())
