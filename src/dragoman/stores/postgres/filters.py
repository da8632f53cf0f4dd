"""Filters as SQL over the column `fields`, in which each field is an array of values.

Fields and values are bound as parameters, never written into the text.
"""

from __future__ import annotations

import json
from decimal import Decimal

from psycopg import sql

from dragoman.records import Scalar
from dragoman.stores.filters import And, Compare, Filter, In, Not, Or, Relation
from dragoman.stores.servers import plain

_TRUE, _FALSE = sql.SQL("TRUE"), sql.SQL("FALSE")
_HOLDS = sql.SQL("fields @> %s::jsonb")
# A cast must not meet a value of another kind, and only CASE promises an order of evaluation.
_ORDERED = (
    "EXISTS (SELECT FROM jsonb_array_elements(fields -> %s::text) AS one(value)"
    " WHERE CASE jsonb_typeof(value) WHEN {} THEN {} {} {} END)"
)


def condition_of(filter: Filter | None) -> tuple[sql.Composable, list[object]]:
    """A condition that is true or false, never null, and the parameters of its placeholders."""
    parameters: list[object] = []
    return _condition(filter, parameters), parameters


def _condition(filter: Filter | None, parameters: list[object]) -> sql.Composable:
    match filter:
        case None:
            return _TRUE
        case Compare(field, "=", value):
            return _condition(In(field, (value,)), parameters)
        case Compare(field, "!=", value):
            return _condition(Not(In(field, (value,))), parameters)
        case Compare(field, relation, value):
            return _ordered(field, relation, value, parameters)
        case In(field, values):
            parameters += [json.dumps({field: [plain(value)]}) for value in values]
            return _joined(" OR ", [_HOLDS for _ in values], _FALSE)
        case Not(part):
            return sql.SQL("NOT ({})").format(_condition(part, parameters))
        case And(parts):
            return _joined(" AND ", [_condition(part, parameters) for part in parts], _TRUE)
        case Or(parts):
            return _joined(" OR ", [_condition(part, parameters) for part in parts], _FALSE)


def _joined(word: str, parts: list[sql.Composable], empty: sql.Composable) -> sql.Composable:
    return sql.SQL("({})").format(sql.SQL(word).join(parts)) if parts else empty


def _ordered(field: str, relation: Relation, value: Scalar, parameters: list[object]) -> sql.Composable:
    if isinstance(value, bool):
        return _FALSE
    if isinstance(value, str):
        parameters += [field, value]
        return sql.SQL(_ORDERED.format("'string'", "(value #>> '{}') COLLATE \"C\"", relation, "%s::text"))
    parameters += [field, Decimal(str(plain(value)))]
    return sql.SQL(_ORDERED.format("'number'", "value::numeric", relation, "%s::numeric"))
