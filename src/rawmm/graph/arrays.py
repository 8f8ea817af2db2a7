"""Read expert routing, sampling masks and likely tokens from a response, as arrays of nodes.

Rows are slices of bytes; numpy is neither imported nor needed.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rawmm.codec import convert
from rawmm.errors import RawMMError, contract_error, shown, shown_name
from rawmm.graph.reading import read
from rawmm.model.types import EncodedArray, SamplingMask, TopLogprobs
from rawmm.real_class import is_a
from rawmm.values.errors import missing_field
from rawmm.values.views import as_mapping, field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rawmm.model.types import MessageNode

    Path = tuple[str, ...]

T = TypeVar("T")
Rows = TypeVar("Rows", SamplingMask, TopLogprobs)
_PATH: Final = ("tokens", "routed_experts")


def encoded(value: Any) -> EncodedArray:
    """An `EncodedArray` from one, from its mapping, or from an array object.

    Raises:
        ContractError: `value` is none of these, or has an unsupported dtype.
    """
    if is_a(value, (EncodedArray, Mapping)):
        return convert(value, EncodedArray)
    try:
        dtype: Any = str(value.dtype)
        shape, data = list(value.shape), value.tobytes()
    except Exception:  # noqa: BLE001  (not an array, or one whose own code fails)
        data = None
    if type(data) is not bytes:
        raise contract_error("wrong_type", (), expected="an array", got=shown(value))
    return EncodedArray(dtype=dtype, shape=shape, data=data)


def flat_rows(value: Any, kind: type[Rows], name: str) -> Rows | None:
    """A sampling mask or the likely tokens, from any object or mapping with the arrays of `kind`.

    Args:
        value: the object; None for none.
        kind: the struct, all of whose fields are arrays.
        name: the field of the turn's tokens.

    Raises:
        ContractError: an array is missing, is not an array, or does not match the others.
    """
    if value is None:
        return None
    path: Path = ("tokens", name)
    if is_a(value, kind):
        checked: Rows = read(value, kind, "tokens", name)
        return checked
    arrays = {}
    for field in kind.__struct_fields__:
        own = field_of(value, field)
        if own is None:
            raise missing_field(field, path)
        arrays[field] = _under((*path, field), encoded, own)
    return _under(path, kind, **arrays)


def _under(path: Path, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """``work(*args, **kwargs)``, with errors moved to `path`."""
    try:
        return work(*args, **kwargs)
    except RawMMError as error:
        refusal = error.at(path)
    raise refusal


class Routing:
    """The experts that inference chose for the tokens of a turn, one row per token.

    Args:
        payload: the engine's ``{"data": base64, "shape": [tokens, layers, top_k], "start",
            "dtype"}``. Its first row belongs to token `start` of the branch.

    Raises:
        ContractError: ``array_size`` or ``bad_base64`` if the data do not fill the shape, or
            ``missing_field``.
    """

    def __init__(self, payload: Mapping[str, Any]) -> None:
        pairs = as_mapping(payload) if is_a(payload, Mapping) else None
        if pairs is None:
            raise contract_error("wrong_type", _PATH, expected="an object", got=shown(payload))
        payload = pairs
        for name in ("data", "shape"):
            if name not in payload:
                raise missing_field(name, _PATH)
        raw = _decoded(payload["data"])
        dtype = payload.get("dtype")
        # Only to check type and size.
        whole: EncodedArray = _under(
            _PATH,
            EncodedArray,
            dtype="uint8" if dtype is None or (type(dtype) is str and not dtype) else dtype,
            shape=payload["shape"],
            data=raw,
        )
        self._raw = memoryview(raw)
        self.dtype: str = whole.dtype
        self.count: int = whole.shape[0] if whole.shape else 0
        self.row: list[int] = whole.shape[1:]
        self._size = len(raw) // self.count if self.count else 0
        start = payload.get("start")
        self.start = 0 if start is None else start
        if type(self.start) is not int or self.start < 0:
            raise contract_error(
                "bad_value",
                (*_PATH, "start"),
                expected="the index of a token, at least 0",
                got=shown(self.start),
            )

    def rows(self, start: int, end: int) -> bytes:
        """The bytes of some rows."""
        return self._raw[start * self._size : end * self._size].tobytes()

    def per_node(self, first: int, sizes: Sequence[int]) -> list[EncodedArray | None]:
        """The rows of each new node. The tokens of the first node begin at token `first`.

        The last token of a turn was sampled and not fed back, so the engine has no row for it. It
        gets a copy of the row before. A node that the array does not cover gets None.
        """
        out: list[EncodedArray | None] = []
        at = first - self.start
        needed = at + sum(sizes)
        for size in sizes:
            end = at + size
            data = None
            if size and at >= 0:
                if end <= self.count:
                    data = self.rows(at, end)
                elif self.count and end == needed == self.count + 1:
                    data = self.rows(at, self.count) + self.rows(self.count - 1, self.count)
            out.append(None if data is None else self._encoded(self.dtype, size, data))
            at = end
        return out

    def corrected(self, last: MessageNode | None, first: int) -> EncodedArray | None:
        """The rows of the prefix's last node with its copied row replaced, or None.

        This turn fed the node's last token back, so it has the token's real row.
        """
        at = first - self.start
        if last is None or not last.sampled or not 1 <= at <= self.count:
            return None
        stored = last.routed_experts
        if (
            stored is None
            or not stored.shape
            or not stored.shape[0]
            or stored.shape[1:] != self.row
        ):
            return None
        kept = len(stored.data) // stored.shape[0] * (stored.shape[0] - 1)
        rows = [(stored.dtype, stored.data[:kept]), (self.dtype, self.rows(at - 1, at))]
        dtype = max((one for one, _ in rows), key=_item_size)
        data = b"".join(_widened(data, one, dtype) for one, data in rows)
        return self._encoded(dtype, stored.shape[0], data)

    def _encoded(self, dtype: Any, rows: int, data: bytes) -> EncodedArray:
        return EncodedArray(dtype=dtype, shape=[rows, *self.row], data=data)


def _decoded(data: Any) -> bytes:
    try:
        return binascii.a2b_base64(data, strict_mode=True)
    except (ValueError, TypeError, BufferError):
        pass  # raised below, so that the decoder's error is not in the chain
    raise contract_error("bad_base64", (*_PATH, "data"), expected="base64", got=shown(data))


def _item_size(dtype: str) -> int:
    return int(dtype.removeprefix("uint")) // 8 if dtype.startswith("uint") else 0


def _widened(data: bytes, dtype: str, wider: str) -> bytes:
    """Unsigned little-endian integers with more bytes each."""
    if dtype == wider:
        return data
    small, big = _item_size(dtype), _item_size(wider)
    if not small:
        raise contract_error(
            "bad_value",
            (*_PATH, "dtype"),
            expected=f"{wider}, as for the tokens before, or another unsigned type",
            got=shown_name(dtype),
        )
    out = bytearray(len(data) // small * big)
    for byte in range(small):
        out[byte::big] = data[byte::small]
    return bytes(out)
