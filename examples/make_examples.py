"""Write the example data of this folder from the images in ``images/``.

    python examples/make_examples.py            # writes next to this file
    python examples/make_examples.py some/dir   # writes there

Needs Pillow, to read the size of an image, and nothing else outside the standard library.
Every run writes the same bytes; ``tests/acceptance/test_examples_data.py`` checks that. To
change an example, change this file and run it again.

The conversation is about a cafe's web shop: two photographs and two screenshots over five
model calls. It is written three times:

``rollout.jsonl``   the five chat requests as an OpenAI-style client sends them
``trace.json``      one rollout record as verifiers 0.4.0 writes it, images inline
``nodes.json``      its first six messages as nodes with sidecars, images by reference

``broken/`` holds files with one defect each, named after the error code.

Control tokens, image tokens and their counts are those of Qwen3-VL. The token of a word is
a stand-in, taken from the SHA-256 of the word, so that no tokenizer is needed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

HERE: Final = Path(__file__).resolve().parent
MODEL: Final = "Qwen/Qwen3-VL-8B-Instruct"
IMAGE_DIR: Final = "/data/outputs/run_demo/assets/images"
STARTED: Final = 1_790_000_000.0
"""Wall-clock seconds of the first node."""
SECONDS_PER_TURN: Final = 4.5

# Qwen3-VL token ids.
IM_START: Final = 151644
IM_END: Final = 151645
VISION_START: Final = 151652
VISION_END: Final = 151653
IMAGE_PAD: Final = 151655
TOOL_CALL: Final = (151657, 151658)
TOOL_RESPONSE: Final = (151665, 151666)
NEWLINE: Final = 198
ROLE: Final = {"system": 8948, "user": 872, "assistant": 77091, "tool": 872}
"""A tool result stands in a user turn, as in Qwen's chat template."""
WORDS: Final = 151643
"""How many ordinary tokens there are; ids from here on are control tokens."""

# The parameters of Qwen3-VL's image processor.
PATCH_SIZE: Final = 16
MERGE_SIZE: Final = 2
TEMPORAL_PATCH_SIZE: Final = 2
MIN_PIXELS: Final = 65_536
MAX_PIXELS: Final = 16_777_216

FINGERPRINT: Final = hashlib.sha256(
    f"image-layout:v1:qwen_vl:max_pixels={MAX_PIXELS}:merge_size={MERGE_SIZE}"
    f":min_pixels={MIN_PIXELS}:patch_size={PATCH_SIZE}"
    f":temporal_patch_size={TEMPORAL_PATCH_SIZE}".encode()
).hexdigest()[:32]

MEDIA_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True)
class RawImage:
    """An encoded image file and what follows from its bytes and its size, in pixels."""

    data: bytes
    suffix: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        """All 64 hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def stored_name(self) -> str:
        """The file name in a run's image directory."""
        return self.sha256 + self.suffix

    @property
    def data_url(self) -> str:
        """The image inside a URL, as clients send it."""
        text = base64.b64encode(self.data).decode()
        return f"data:{MEDIA_TYPES[self.suffix]};base64,{text}"

    @property
    def file_url(self) -> str:
        """The reference that takes the place of the inline image."""
        return f"file://{IMAGE_DIR}/{self.stored_name}"

    @property
    def grid(self) -> list[int]:
        """``[1, height / patch, width / patch]`` of the size the image is scaled to."""
        factor = PATCH_SIZE * MERGE_SIZE
        height = round(self.height / factor) * factor
        width = round(self.width / factor) * factor
        pixels = self.height * self.width
        if height * width > MAX_PIXELS:
            scale = math.sqrt(pixels / MAX_PIXELS)
            height = math.floor(self.height / scale / factor) * factor
            width = math.floor(self.width / scale / factor) * factor
        elif height * width < MIN_PIXELS:
            scale = math.sqrt(MIN_PIXELS / pixels)
            height = math.ceil(self.height * scale / factor) * factor
            width = math.ceil(self.width * scale / factor) * factor
        return [1, height // PATCH_SIZE, width // PATCH_SIZE]

    @property
    def tokens(self) -> int:
        """How many image tokens stand for the image in the prompt."""
        return math.prod(self.grid) // MERGE_SIZE**2


@cache
def image(name: str) -> RawImage:
    """The image of that name in ``images/``."""
    path = HERE / "images" / name
    with Image.open(path) as opened:
        width, height = opened.size
    return RawImage(path.read_bytes(), path.suffix, width, height)


@dataclass(frozen=True)
class Call:
    """One tool call of the assistant."""

    id: str
    name: str
    arguments: Json

    @property
    def text(self) -> str:
        """The arguments as the model wrote them."""
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True)
class Message:
    """One message of the conversation, before it takes a wire shape."""

    role: str
    text: str | None
    images: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    answers: Call | None = None
    """For a tool message: the call whose result it is."""


OPEN: Final = Call("call_1", "open_page", {"path": "/products/new"})
SAVE: Final = Call(
    "call_2",
    "save_product",
    {"name": "Espresso", "category": "Coffee", "price": "2.80", "photo": 1, "on_menu": True},
)

CONVERSATION: Final = (
    Message(
        "system",
        "You look after the web shop of Café Linden. You see the pages you open as screenshots.",
    ),
    Message("user", "This photo came in for the menu. What does it show?", ("coffee.jpg",)),
    Message(
        "assistant",
        "An espresso in a dark red cup on a matching saucer, with a small spoon next to it, "
        "on a wooden table.",
    ),
    Message(
        "user",
        "This one was in the same upload. If it is not a product, leave it out. "
        "Then add the espresso to the menu for £2.80.",
        ("cat.jpg",),
    ),
    Message(
        "assistant",
        "That is a tabby cat with green eyes, so I leave it out. I open the form for the espresso.",
        calls=(OPEN,),
    ),
    Message("tool", "Opened /products/new.", ("form.png",), answers=OPEN),
    Message("assistant", None, calls=(SAVE,)),
    Message("tool", "Saved. The browser went to /dashboard.", answers=SAVE),
    Message("user", "The page after saving:", ("dashboard.webp",)),
    Message(
        "assistant",
        "The espresso is on the menu for £2.80. The dashboard shows 128 orders today, most of "
        "them at 10 o'clock.",
    ),
    Message("user", "Write one line of alt text for the espresso photo. Where is the spoon?"),
    Message(
        "assistant",
        "Espresso in a dark red cup; the spoon lies on the saucer, to the right of the cup.",
    ),
)

TOOLS: Final = [
    {
        "type": "function",
        "name": "open_page",
        "description": "Open a page of the shop's admin site and take a screenshot.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
        },
    },
    {
        "type": "function",
        "name": "save_product",
        "description": "Fill in the open product form and save it.",
        "parameters": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "category": {"type": "string"},
                "price": {"type": "string"},
                "photo": {"type": "integer"},
                "on_menu": {"type": "boolean"},
            },
            "required": ["name", "price", "photo"],
        },
    },
]


# Messages


def content(message: Message, *, inline: bool) -> str | list[Json] | None:
    """Text alone as a string; text and images as parts, images inline or by reference."""
    if not message.images:
        return message.text
    parts: list[Json] = [{"type": "text", "text": message.text}]
    for name in message.images:
        raw = image(name)
        url = raw.data_url if inline else raw.file_url
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def openai_message(message: Message) -> Json:
    """The message in the shape of the OpenAI chat API."""
    out: Json = {"role": message.role, "content": content(message, inline=True)}
    if message.calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.text},
            }
            for call in message.calls
        ]
    if message.answers:
        out["tool_call_id"] = message.answers.id
    return out


def contract_message(message: Message, *, inline: bool) -> Json:
    """The message in the shape of the contract, with the fields verifiers writes."""
    out: Json = {"role": message.role, "content": content(message, inline=inline)}
    if message.role == "assistant":
        calls = [
            {
                "id": call.id,
                "type": "function",
                "name": call.name,
                "namespace": None,
                "arguments": call.text,
            }
            for call in message.calls
        ]
        out |= {"reasoning_content": None, "tool_calls": calls or None, "provider_state": None}
    if message.answers:
        out |= {"tool_call_id": message.answers.id, "name": message.answers.name}
    return out


# Tokens


def words(text: str) -> list[int]:
    """One stand-in token per word or sign."""
    found: list[str] = re.findall(r"\w+|[^\w\s]", text)
    return [int(hashlib.sha256(word.encode()).hexdigest(), 16) % WORDS for word in found]


@dataclass
class Tokens:
    """The tokens one message adds, with their per-token streams."""

    ids: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    is_content: list[bool] = field(default_factory=list)
    image_offsets: list[int] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, sampled: bool = False, body: bool = False) -> None:
        """Append tokens that share their flags."""
        self.ids += ids
        self.mask += [sampled] * len(ids)
        self.is_content += [body] * len(ids)


def tokens(message: Message, *, after_assistant: bool) -> Tokens:
    """The message in Qwen's chat template.

    The line end after an assistant's turn is not sampled, so it belongs to the next message;
    the generation prompt before the turn belongs to the assistant's node.
    """
    out = Tokens()
    if after_assistant:
        out.add([NEWLINE])
    out.add([IM_START, ROLE[message.role], NEWLINE])
    if message.role == "assistant":
        out.add(words(message.text or ""), sampled=True, body=True)
        for call in message.calls:
            text = json.dumps({"name": call.name, "arguments": call.arguments})
            out.add([TOOL_CALL[0], *words(text), TOOL_CALL[1]], sampled=True, body=True)
        out.add([IM_END], sampled=True, body=True)
        return out
    if message.role == "tool":
        out.add([TOOL_RESPONSE[0], NEWLINE])
    out.add(words(message.text or ""), body=True)
    for name in message.images:
        out.add([VISION_START], body=True)
        out.image_offsets.append(len(out.ids))
        out.add([IMAGE_PAD] * image(name).tokens, body=True)
        out.add([VISION_END], body=True)
    if message.role == "tool":
        out.add([NEWLINE, TOOL_RESPONSE[1]])
    out.add([IM_END, NEWLINE])
    return out


def logprobs(mask: Sequence[bool], seed: str) -> list[float]:
    """One made-up logprob per sampled token, four decimals as in a verifiers record."""
    rng = random.Random(seed)
    return [-round(rng.random() ** 3 + 1e-4, 4) for sampled in mask if sampled]


# The three files


def requests() -> list[Json]:
    """One chat request per assistant message; each sends everything before it again."""
    return [
        {
            "model": MODEL,
            "messages": [openai_message(earlier) for earlier in CONVERSATION[:index]],
            "temperature": 1.0,
        }
        for index, message in enumerate(CONVERSATION)
        if message.role == "assistant"
    ]


def trace() -> Json:
    """The whole conversation as a verifiers 0.4.0 record, in the fields it released."""
    nodes: list[Json] = []
    calls: list[Json] = []
    clock = STARTED
    total = 0
    for index, message in enumerate(CONVERSATION):
        sampled = message.role == "assistant"
        after_assistant = index > 0 and CONVERSATION[index - 1].role == "assistant"
        if after_assistant:
            clock += SECONDS_PER_TURN
        added = tokens(message, after_assistant=after_assistant)
        completion = sum(added.mask)
        total += len(added.ids)
        nodes.append(
            {
                "parent": index - 1 if index else None,
                "semantic_parents": [],
                "message": contract_message(message, inline=True),
                "sampled": sampled,
                "timestamp": clock,
                "token_ids": added.ids,
                "mask": added.mask,
                "is_content": added.is_content,
                "logprobs": logprobs(added.mask, f"node {index}"),
                "advantages": None,
                "reference_logprobs": None,
                "trainer_logprobs": None,
                "entropies": None,
                "loss_weights": None,
            }
        )
        if sampled:
            calls.append(
                {
                    "node": index,
                    "model": MODEL,
                    "endpoint": "/chat/completions",
                    "finish_reason": "tool_calls" if message.calls else "stop",
                    "usage": {
                        "prompt_tokens": total - completion,
                        "completion_tokens": completion,
                    },
                    "time": {"start": clock - 1.5, "end": clock},
                }
            )
    return {
        "version": 1,
        "id": hashlib.sha256(b"rawmm example rollout").hexdigest()[:32],
        "verifiers": {"version": "0.4.0", "commit": None},
        "task": {
            "type": "ShopTask",
            "data": {
                "idx": 0,
                "name": "add-espresso",
                "prompt": None,
                "system_prompt": CONVERSATION[0].text,
            },
        },
        "agent": {"config": {"model": MODEL}, "name": "agent", "trainable": True},
        "tools": TOOLS,
        "nodes": nodes,
        "calls": calls,
        "mm_token_type_id_map": {str(IMAGE_PAD): 1},
        "rewards": {"saved": {"score": 1.0, "weight": 1.0}},
        "metrics": {"images": 4.0},
        "info": {},
        "is_completed": True,
        "ok": True,
        "stop_condition": "agent_completed",
        "errors": [],
    }


def sidecar(names: Sequence[str], offsets: Sequence[int]) -> Json:
    """The ``multi_modal_data`` of a message; offsets count from the start of the path."""
    raws = [image(name) for name in names]
    return {
        "mm_hashes": {"image": [raw.sha256[:32] for raw in raws]},
        "mm_placeholders": {
            "image": [
                {"offset": offset, "length": raw.tokens}
                for raw, offset in zip(raws, offsets, strict=True)
            ]
        },
        "mm_items": {
            "image": [
                {
                    "kind": "prime_raw_mm_item",
                    "version": 1,
                    "modality": "image",
                    "family": "qwen_vl",
                    "layout_fingerprint": FINGERPRINT,
                    "payload": {"image_grid_thw": [raw.grid]},
                    "raw_image_id": raw.stored_name,
                }
                for raw in raws
            ]
        },
    }


def nodes(messages: Sequence[Message]) -> list[Json]:
    """Messages as nodes of one path, in the canonical form: sidecars and references."""
    out: list[Json] = []
    start = 0
    for index, message in enumerate(messages):
        sampled = message.role == "assistant"
        added = tokens(
            message, after_assistant=index > 0 and messages[index - 1].role == "assistant"
        )
        offsets = [start + offset for offset in added.image_offsets]
        finish = "tool_calls" if message.calls else "stop"
        out.append(
            {
                "parent": index - 1 if index else None,
                "message": contract_message(message, inline=False),
                "sampled": sampled,
                "token_ids": added.ids,
                "mask": added.mask,
                "is_content": added.is_content,
                "logprobs": logprobs(added.mask, f"node {index}"),
                "finish_reason": finish if sampled else None,
                "multi_modal_data": sidecar(message.images, offsets) if offsets else None,
            }
        )
        start += len(added.ids)
    return out


# One defect per file


def processed_payload() -> list[Json]:
    """An image processor's output beside the grid."""
    out = nodes(CONVERSATION[1:2])
    item = out[0]["multi_modal_data"]["mm_items"]["image"][0]
    item["payload"]["pixel_values"] = [[0.1216, -0.4039, 0.7725], [0.1137, -0.3961, 0.7804]]
    return out


def count_mismatch() -> list[Json]:
    """Two hashes for one placeholder and one item."""
    out = nodes(CONVERSATION[1:2])
    out[0]["multi_modal_data"]["mm_hashes"]["image"].append(image("cat.jpg").sha256[:32])
    return out


def placeholder_order() -> list[Json]:
    """Two images whose ranges share twenty tokens; together they cover every image token."""
    first, second = image("coffee.jpg").tokens, image("cat.jpg").tokens
    shared = 20
    both = Message("user", "Which of these is for the menu?", ("coffee.jpg", "cat.jpg"))
    out = nodes([both])
    node = out[0]
    ranges = node["multi_modal_data"]["mm_placeholders"]["image"]
    start = ranges[0]["offset"]
    ranges[1]["offset"] = start + first - shared
    old_end = start + first + 2 + second  # two control tokens between the images
    body = [IMAGE_PAD] * (first + second - shared)
    node["token_ids"][start:old_end] = body
    node["mask"][start:old_end] = [False] * len(body)
    node["is_content"][start:old_end] = [True] * len(body)
    return out


def parent_order() -> list[Json]:
    """The answer stands before the question it follows."""
    question, answer = nodes(CONVERSATION[1:3])
    return [answer | {"parent": 1}, question]


def stream_length() -> list[Json]:
    """The mask lacks its last value."""
    out = nodes(CONVERSATION[1:2])
    out[0]["mask"].pop()
    return out


def unsupported_version() -> list[Json]:
    """An item of a version that is not known."""
    out = nodes(CONVERSATION[1:2])
    out[0]["multi_modal_data"]["mm_items"]["image"][0]["version"] = 2
    return out


def bad_locator() -> list[Json]:
    """A file URL that names another host."""
    out = nodes(CONVERSATION[1:2])
    item = out[0]["multi_modal_data"]["mm_items"]["image"][0]
    name = item.pop("raw_image_id")
    item["raw_image_uri"] = f"file://storage-7{IMAGE_DIR}/{name}"
    return out


def broken() -> dict[str, bytes]:
    """The file contents of ``broken/`` by error code."""
    made = (
        processed_payload,
        count_mismatch,
        placeholder_order,
        parent_order,
        stream_length,
        unsupported_version,
        bad_locator,
    )
    out = {make.__name__: document(make()) for make in made}
    whole = document(nodes(CONVERSATION[1:2]))
    out["malformed"] = whole[: len(whole) * 2 // 3]  # as left by a writer that was killed
    return out


# Writing


def layout(value: Any, indent: int = 0) -> str:
    """JSON with one field a line, and an array of scalars on one line."""
    pad, end = " " * (indent + 1), " " * indent
    if isinstance(value, dict) and value:
        fields = [
            f"{pad}{json.dumps(key)}: {layout(item, indent + 1)}" for key, item in value.items()
        ]
        return "{\n" + ",\n".join(fields) + f"\n{end}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = [pad + layout(item, indent + 1) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{end}]"
    return json.dumps(value, ensure_ascii=False)


def document(value: Any) -> bytes:
    """The bytes of a JSON file."""
    return (layout(value) + "\n").encode()


def write(output: Path = HERE) -> list[Path]:
    """Write every example below `output` and return the paths written."""
    lines = [
        json.dumps(request, ensure_ascii=False, separators=(",", ":")) + "\n"
        for request in requests()
    ]
    files = {
        "rollout.jsonl": "".join(lines).encode(),
        "trace.json": document(trace()),
        "nodes.json": document(nodes(CONVERSATION[:6])),
        **{f"broken/{code}.json": data for code, data in broken().items()},
    }
    written = []
    for name, data in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        written.append(path)
    return written


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for path in write(target):
        print(f"{path.stat().st_size:>9,} {path}")
