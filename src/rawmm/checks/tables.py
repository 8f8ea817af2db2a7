"""Records in the rows of a table, such as Arrow's, Parquet's or a data set's."""

from __future__ import annotations

from typing import Any

from rawmm.values.views import SCALARS, is_array


def table_record(value: Any) -> Any:
    """Return a row, or a cell of one, as a record.

    Tables give each object the keys of all objects, with null where one has none. So keys with
    null are left out, at every depth. Arrays of numpy in place of lists and numbers
    become these.
    """
    kind = type(value)
    if kind is dict:
        return {key: table_record(each) for key, each in value.items() if each is not None}
    if kind is list or kind is tuple:
        first = value[0] if value else None
        if type(first) in SCALARS and SCALARS.issuperset(map(type, value)):
            return list(value)
        return [table_record(each) for each in value]
    # An element of a numpy array is an array without dimensions.
    return table_record(value.tolist()) if is_array(value) and hasattr(kind, "tolist") else value
