"""Search every column of every table of a schema for words, as `closeloop erase` does to prove its work."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from shared.db.database import Session

_LEDGER = "erasures"


@dataclass(frozen=True, slots=True)
class ColumnMatches:
    """The number of rows of a table that hold one of the words in this column."""

    schema: str
    table: str
    column: str
    rows: int


async def search(
    session: Session,
    schema: str,
    words: Sequence[str],
    *,
    store: str | None = None,
    columns: dict[str, str] | None = None,
) -> list[ColumnMatches]:
    """Count the rows that hold one of these words, in upper or lower case, outside the ledger of erasures.

    PostgreSQL's `lower` makes both sides lower case, so that both follow the same rules; of bytes only the
    letters of ASCII. A word that has several forms is to be given in each.

    `store`: leave out the rows of other stores, whose customers may have the same ids. `columns`: count also
    the rows whose column of this name has this value. Every row is read: for millions it takes minutes.
    """
    tables: dict[str, list[tuple[str, str]]] = {}
    rows = await session.execute(
        text("""SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
                JOIN information_schema.tables t USING (table_schema, table_name)
                WHERE c.table_schema = :schema AND t.table_type = 'BASE TABLE' AND c.table_name <> :ledger
                ORDER BY c.table_name, c.ordinal_position"""),
        {"schema": schema, "ledger": _LEDGER},
    )
    for table, column, kind in rows:
        tables.setdefault(table, []).append((column, kind))
    matches = []
    for table, its_columns in tables.items():  # as many queries as there are tables, whatever is in them
        counts = ", ".join(f"count(*) FILTER (WHERE {_holds(*column)})" for column in its_columns)
        row = (
            await session.execute(
                text(f'SELECT {counts} FROM {schema}."{table}" t WHERE {_of_store(its_columns)}'),
                {"words": list(words), "store": store},
            )
        ).one()
        matches += [
            ColumnMatches(schema, table, name, n) for (name, _), n in zip(its_columns, row, strict=True) if n
        ]
    for name, value in (columns or {}).items():
        for table, its_columns in tables.items():
            if name not in dict(its_columns):
                continue
            count = await session.scalar(
                text(f"""SELECT count(*) FROM {schema}."{table}" t
                         WHERE t."{name}" = :value AND {_of_store(its_columns)}"""),
                {"value": value, "store": store},
            )
            if count:
                matches.append(ColumnMatches(schema, table, name, int(count)))
    return matches


def _of_store(columns: Sequence[tuple[str, str]]) -> str:
    """SQL: whether a row belongs to the store that was asked for; True where the table has no store."""
    named = "t.store = :store" if "store" in dict(columns) else "true"
    return f"(CAST(:store AS text) IS NULL OR {named})"


def _holds(column: str, kind: str) -> str:
    content, word = f'CAST(t."{column}" AS text)', "w"
    if kind == "bytea":
        content, word = f"encode(t.\"{column}\", 'escape')", "encode(convert_to(w, 'UTF8'), 'escape')"
    given = "unnest(CAST(:words AS text[])) w"
    return f"EXISTS (SELECT 1 FROM {given} WHERE strpos(lower({content}), lower({word})) > 0)"
