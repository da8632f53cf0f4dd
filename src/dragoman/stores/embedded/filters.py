"""Filters as masks over slots, looked up in the table of metadata values.

N slots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dragoman.records import Scalar
from dragoman.stores.embedded.database import stored
from dragoman.stores.embedded.tables import View, slots_of
from dragoman.stores.filters import And, Compare, Filter, In, Not, Or

MASKS_KEPT = 8
"""In a snapshot: the same filter comes with every letter that a person types."""
OWN_FIELDS = ("kind", "item_id", "path")

# SQLite orders numbers before texts before blobs, so each range ends where the next kind begins.
_ENDS = {str: ("value >= ''", "value < x''"), float: ("value < ''",)}


def mask_of(view: View, filter: Filter) -> NDArray[np.bool_]:
    """Mask [N] of the slots that pass; its values at dead slots mean nothing."""
    masks = view.state.masks
    # Equal filters may differ: x=1 and x=true are equal to Python.
    key = repr(filter)
    found = masks.get(key)
    if found is None:
        found = _mask(view, filter)
        if len(masks) >= MASKS_KEPT:
            masks.clear()
        masks[key] = found
    return found


def _mask(view: View, filter: Filter) -> NDArray[np.bool_]:
    match filter:
        case Compare(field, "!=", value):
            return ~_mask(view, Compare(field, "=", value))
        case Compare(field, relation, value):
            return _found(view, field, relation, value)
        case In(field, values):
            return _mask(view, Or(tuple(Compare(field, "=", value) for value in values)))
        case Not(part):
            return ~_mask(view, part)
        case And(parts):
            return ~_mask(view, Or(tuple(map(Not, parts))))
        case Or(parts):
            mask_N = np.zeros(len(view.state.dead), bool)
            for part in parts:
                mask_N |= _mask(view, part)
            return mask_N


def _found(view: View, field: str, relation: str, value: Scalar) -> NDArray[np.bool_]:
    """Slots of which some value of a field satisfies a comparison."""
    mask_N = np.zeros(len(view.state.dead), bool)
    if isinstance(value, bool) and relation != "=":
        return mask_N
    terms = [f"value {relation} ?"]
    if relation != "=":
        terms += _ENDS[str if isinstance(value, str) else float]
    where = " AND ".join(terms)
    if field in OWN_FIELDS and isinstance(value, str):
        own = f"SELECT slot FROM entries WHERE {where.replace('value', field)}"
        mask_N[slots_of(view.database.execute(own, (value,)))] = True
        named = view.database.execute("SELECT slot FROM fields WHERE name = ?", (field,))
        mask_N[slots_of(named)] = False
    query = f"SELECT slot FROM fields WHERE name = ? AND {where}"
    mask_N[slots_of(view.database.execute(query, (field, stored(value))))] = True
    return mask_N
