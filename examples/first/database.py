"""A small database of orders, for `sql.lmp`. It is made anew in memory, so no query can harm it."""

import sqlite3
from typing import Any

SCHEMA = """\
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id),
                     thing TEXT, euros REAL, day TEXT);
"""
ROWS = """\
INSERT INTO customers VALUES (1, 'Ada', 'Graz'), (2, 'Ben', 'Linz'), (3, 'Cleo', 'Graz');
INSERT INTO orders VALUES (1, 1, 'lamp', 24.0, '2026-01-05'), (2, 2, 'desk', 180.0, '2026-01-09'),
                          (3, 1, 'chair', 65.0, '2026-02-02'), (4, 3, 'lamp', 24.0, '2026-02-11');
"""
MOST_STEPS = 1_000_000  # of SQLite's machine, a query
MOST_ROWS = 100


def schema() -> str:
    return SCHEMA


def run_query(sql: str) -> dict[str, Any]:
    """What a query gives, or why it does not run."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(SCHEMA + ROWS)
        database.execute("PRAGMA query_only = true")
        left = iter(range(MOST_STEPS // 1000))
        database.set_progress_handler(lambda: next(left, None) is None, 1000)
        rows = database.execute(sql).fetchmany(MOST_ROWS)
        return {"ok": True, "feedback": "", "rows": [list(row) for row in rows]}
    except sqlite3.Error as problem:
        return {"ok": False, "feedback": str(problem)}
    finally:
        database.close()
