"""Right and wrong uses of the types. Type checkers report the lines that end in ``# wrong``, only.

Never run: `test_type_checkers` reads it.
"""

from __future__ import annotations

from typing import Any, assert_type

import rawmm
from rawmm.model.types import MMImageItem

# A call makes an instance of the class, and its fields have the types of the schema.
range_ = rawmm.PlaceholderRange(offset=0, length=4)
assert_type(range_, rawmm.PlaceholderRange)
assert_type(range_.offset, int)
assert_type(range_, int)  # wrong
rawmm.PlaceholderRange(offset="0", length=4)  # wrong
rawmm.PlaceholderRange(offset=0)  # wrong
rawmm.PlaceholderRange(offset=0, length=4, size=1)  # wrong
rawmm.PlaceholderRange(0, 4)  # wrong
range_.offset = "0"  # wrong
range_.start  # wrong # noqa: B018

# Constants are filled in. Given ones must be right.
item = rawmm.RawMMItem(modality="image", family="qwen_vl", payload={})
assert_type(item, rawmm.RawMMItem)
rawmm.RawMMItem(kind="prime_raw_mm_item", version=1, modality="image", family="x", payload={})
rawmm.RawMMItem(version=2, modality="image", family="x", payload={})  # wrong
rawmm.RawMMItem(modality="image", family="x", payload=None)  # wrong

# What is absent reads as None.
assert_type(item.raw_image_id, str | None)
rawmm.RawMMItem(modality="image", family="x", payload={}, raw_image_id=None)
rawmm.RawMMItem(modality="image", family="x", payload={}, raw_image_id=b"a.png")  # wrong

# A changed copy has the same type.
assert_type(rawmm.replace(item, raw_image_id=None), rawmm.RawMMItem)
rawmm.replace({"family": "x"}, family="y")  # wrong

# Defaults.
sidecar = rawmm.MultiModalData()
assert_type(sidecar.mm_items, dict[str, list[rawmm.RawMMItem]])
rawmm.MultiModalData(mm_items={"image": [item]}, mm_hashes={"image": ["0" * 32]})
rawmm.MultiModalData(mm_items={"image": [range_]})  # wrong
rawmm.MultiModalData(mm_items=[item])  # wrong

# The members of a union.
url = rawmm.ImageUrlContentPart(image_url=rawmm.ImageUrlSource(url="file:///a.png"))
user = rawmm.UserMessage(content=[rawmm.TextContentPart(text="x"), url])
assert_type(user, rawmm.UserMessage)
rawmm.UserMessage(content=[range_])  # wrong
rawmm.UserMessage()  # wrong

# Graphs. A stream is a list or packed.
node = rawmm.MessageNode(message=user, token_ids=[1, 2], mask=[False, False], parent=None)
assert_type(node, rawmm.MessageNode)
rawmm.MessageNode(message=range_)  # wrong
rawmm.MessageNode(message=user, token_ids=["1"])  # wrong
trace = rawmm.Trace(nodes=[node], extra={"reward": 1.0})
assert_type(trace.nodes, list[rawmm.MessageNode])
assert_type(trace.extra, dict[str, Any] | None)
rawmm.Trace(nodes=node)  # wrong

# Types that are arrays on the wire take their fields by position.
trained = MMImageItem(
    modality="image", family="qwen_vl", layout_fingerprint="0" * 32, payload={}, raw_image_id="a"
)
reference = rawmm.MMImageRef(trained, "0" * 32, "file:///a.png", 0, 4)
assert_type(reference, rawmm.MMImageRef)
assert_type(rawmm.MMRefs(images=[reference]), rawmm.MMRefs)
rawmm.MMImageRef(trained, "0" * 32, "file:///a.png", "0", 4)  # wrong
rawmm.MMRefs(images=[trained])  # wrong

# Without a type, the document tells it when the program runs.
assert_type(rawmm.decode_json(b"{}"), Any)
assert_type(rawmm.decode_json(b"{}", rawmm.Trace), rawmm.Trace)
assert_type(rawmm.decode_msgpack(b"", type=rawmm.MessageNode), rawmm.MessageNode)
assert_type(rawmm.convert({}), Any)
assert_type(rawmm.convert({}, rawmm.MultiModalData), rawmm.MultiModalData)
rawmm.decode_json(b"{}", rawmm.Trace).nodez  # wrong # noqa: B018


def handle(error: rawmm.RawMMError) -> str | None:
    """The attributes of an error that a program reads."""
    assert_type(error.code, str)
    return error.hint
