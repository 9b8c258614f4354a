"""Where words are still found: every column of every table of a schema, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from shared.db.database import Session

_LEDGER = "erasures"


@dataclass(frozen=True, slots=True)
class Found:
    """So many rows of a table hold one of the words in this column."""

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
) -> list[Found]:
    """Rows that hold one of these words, in any case, anywhere but in the ledger of the erased.

    `store`: not in rows that say that they are of another one, whose customers may have the same ids.
    `columns`: by name of a column, a value that it may not have. Reads every row: minutes where there are
    millions.
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
    found = []
    for table, shown in tables.items():  # as many queries as there are tables, whatever is in them
        counts = ", ".join(f"count(*) FILTER (WHERE {_holds(*column)})" for column in shown)
        row = (
            await session.execute(
                text(f'SELECT {counts} FROM {schema}."{table}" t WHERE {_of_store(shown)}'),
                {"words": [word.casefold() for word in words], "store": store},
            )
        ).one()
        found += [Found(schema, table, name, n) for (name, _), n in zip(shown, row, strict=True) if n]
    for name, value in (columns or {}).items():
        for table, shown in [(table, shown) for table, shown in tables.items() if name in dict(shown)]:
            count = await session.scalar(
                text(f"""SELECT count(*) FROM {schema}."{table}" t
                         WHERE t."{name}" = :value AND {_of_store(shown)}"""),
                {"value": value, "store": store},
            )
            if count:
                found.append(Found(schema, table, name, int(count)))
    return found


def _of_store(columns: Sequence[tuple[str, str]]) -> str:
    """Whether a row may be of the store that was asked for; most tables say it."""
    named = "t.store = :store" if "store" in dict(columns) else "true"
    return f"(CAST(:store AS text) IS NULL OR {named})"


def _holds(column: str, kind: str) -> str:
    shown = f"encode(t.\"{column}\", 'escape')" if kind == "bytea" else f'CAST(t."{column}" AS text)'
    return f"EXISTS (SELECT 1 FROM unnest(CAST(:words AS text[])) w WHERE strpos(lower({shown}), w) > 0)"
