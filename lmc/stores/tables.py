"""The tables of stores: which there are, and what each one holds.

`next` numbers what is kept, so that the oldest is known. `version` grows with each commit. Records
are JSON in text: their types belong to the programs that read them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

FORMAT = 1
metadata = MetaData()

stores = Table(
    "lmc_stores",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("format", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("next", BigInteger, nullable=False),
)

records = Table(
    "lmc_records",
    metadata,
    Column("store", String(200), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text),
    Column("value", Text, nullable=False),
)
Index("lmc_records_key", records.c.store, records.c.key, unique=True)  # many may have none
