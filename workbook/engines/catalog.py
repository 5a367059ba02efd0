"""What a database holds, as its catalog says it, and what changed between two looks.

    before = database.catalog();  ... the answer runs ...;  before.difference(database.catalog())

An answer is judged by this difference and never by its text: only the engine knows what `DO $$ ... $$` did. Objects
of the system are left out; so are sizes and rows.

    >>> a = Catalog({("index", "i"): "CREATE INDEX i ON t (a)"})
    >>> a.difference(Catalog({}))
    (Change(kind='index', object='i', before='CREATE INDEX i ON t (a)', after=None),)

Source: PostgreSQL 18's manual, chapter "System Catalogs".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_OWN = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
_NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END"

QUERIES = {
    "schema": f"SELECT n.nspname, '' FROM pg_namespace n WHERE {_OWN}",
    "relation": f"""SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table'
            WHEN 'c' THEN 'type' ELSE 'table' END, {_NAME} || c.relname,
            concat_ws(' ', c.relpersistence::text, c.reloptions::text, c.relrowsecurity, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')""",
    "column": f"""SELECT {_NAME} || c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
            CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), 'COLLATE ' || nullif(nullif(a.attcollation, 100), 0),
            'STATISTICS ' || a.attstattarget, a.attstorage::text, a.attoptions::text)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {_OWN} AND c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped""",
    "index": f"""SELECT {_NAME} || c.relname, pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN}""",
    "constraint": f"""SELECT coalesce(r.relname || '.', '') || k.conname, pg_get_constraintdef(k.oid) || CASE WHEN k.convalidated THEN '' ELSE ' NOT VALID' END
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace LEFT JOIN pg_class r ON r.oid = k.conrelid
        WHERE {_OWN} AND k.contype <> 'n'""",
    "statistics": f"""SELECT {_NAME} || s.stxname, pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {_OWN}""",
    "function": f"""SELECT {_NAME} || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', p.prosrc
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OWN}""",
    "trigger": f"""SELECT c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN} AND NOT t.tgisinternal""",
    "policy": f"""SELECT c.relname || '.' || p.polname, concat_ws(' ', p.polcmd::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN}""",
    "rule": f"""SELECT c.relname || '.' || r.rulename, pg_get_ruledef(r.oid) FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
        JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN} AND r.rulename <> '_RETURN'""",
    "setting": """SELECT coalesce('role', '') || '.' || setting, setting FROM pg_db_role_setting s JOIN pg_database d ON d.datname = current_database()
        JOIN pg_roles r ON r.rolname = current_database(), unnest(s.setconfig) setting WHERE s.setdatabase IN (d.oid, 0) AND s.setrole IN (r.oid, 0)""",
}
"""Each gives rows (object, definition), or (kind, object, definition); run with an empty search_path."""
RELATIONS = f"""SELECT {_NAME} || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OWN} AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relkind, 1"""
"""The names of tables and views alone, which are read without a lock on any of them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: the kind of object, its name, and its definition before and after (None where it was not
    there)."""

    kind: str
    object: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Catalog:
    """All objects of a database: (kind, name) to definition."""

    objects: Mapping[tuple[str, str], str]

    def difference(self, other: Catalog) -> tuple[Change, ...]:
        """What changed from this look to the `other`, later one, ordered by kind and name."""
        keys = sorted(self.objects.keys() | other.objects.keys())
        changed = [key for key in keys if self.objects.get(key) != other.objects.get(key)]
        return tuple(Change(*key, self.objects.get(key), other.objects.get(key)) for key in changed)

    def names(self, kind: str) -> list[str]:
        """The names of one kind of object."""
        return sorted(name for found, name in self.objects if found == kind)


def catalog_of(rows: Mapping[str, list[tuple[str, ...]]]) -> Catalog:
    """The catalog from the rows of `QUERIES`."""
    objects = {}
    for kind, found in rows.items():
        for row in found:
            name, definition = row[-2], row[-1]
            objects[(row[0] if len(row) == 3 else kind, str(name))] = str(definition)
    return Catalog(objects)
