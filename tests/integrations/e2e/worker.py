"""The rollout worker: requests with inline images in, message graphs out.

The engine is the model itself, fed with the images as the client sent them and decoded as vLLM does,
so that the trainer's numbers can be compared with it: they must agree although every image went to
disk and back.
"""

from __future__ import annotations

import base64
import copy
import io
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

import rawmm
from rawmm import ImageUrlContentPart, PlaceholderRange, Trace
from rawmm.describe import describe_image
from rawmm.graph import prepare_turn
from tests import fake_renderer
from tests.integrations.e2e.models import VOCABULARY, Policy, logprobs
from tests.integrations.engine.pixels import decode_image
from tests.unit.images.odd_pictures import saved
from tests.unit.images.pictures import exif_of

if TYPE_CHECKING:
    from rawmm import ImageStore

SIZES = [(84, 56), (56, 84), (100, 140), (84, 56), (60, 200), (84, 56), (30, 31)]
"""Of the images in their order. The first, the fourth and the sixth have the same grid."""

TURNED, TRANSPARENT = 2, 4
"""The images that are a JPEG of EXIF orientation 6, and a PNG with an alpha channel."""


def screenshot(number: int) -> bytes:
    raw = fake_renderer.screenshot(number, SIZES[number])
    if number not in (TURNED, TRANSPARENT):
        return raw
    with Image.open(io.BytesIO(raw)) as image:
        if number == TURNED:
            return saved(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif_of(6))
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return saved(image)


def words(text: str) -> list[int]:
    return [16 + zlib.crc32(word.encode()) % (VOCABULARY - 16) for word in text.split()]


@dataclass
class Rendered(fake_renderer.Rendered):
    """A prompt whose images are described with the layout of the model's image processor."""

    policy: Policy = field(kw_only=True)
    store: ImageStore = field(kw_only=True)

    def add_message(self, message: Any, index: int) -> None:
        self.add([fake_renderer.START, fake_renderer.ROLES[type(message).__name__]], index)
        parts = message.content if isinstance(message.content, list) else [message.content]
        for part in parts:
            if isinstance(part, ImageUrlContentPart):
                self._add_image(part.image_url.url, index)
            else:
                self.add(words(part if isinstance(part, str) else part.text), index, content=True)
        self.add([fake_renderer.END], index)

    def _add_image(self, url: str, index: int) -> None:
        image = describe_image(url, self.policy.layout, image_dir=self.store.root)
        self.add([fake_renderer.VISION_START], index)
        self.items.append(image.item)
        self.hashes.append(image.mm_hash)
        self.ranges.append(
            PlaceholderRange(offset=len(self.token_ids), length=image.placeholder_length)
        )
        self.add([fake_renderer.PAD] * image.placeholder_length, index, content=True)
        self.add([fake_renderer.VISION_END], index)


@dataclass
class Worker:
    """One rollout."""

    policy: Policy
    store: ImageStore
    trace: Trace = field(default_factory=lambda: Trace(nodes=[]))
    history: list[dict[str, Any]] = field(default_factory=list)

    def turn(self, text: str, *screens: int) -> None:
        parts = [{"type": "text", "text": text}, *map(inline, screens)]
        self.history.append({"role": "user", "content": parts})
        body = {"model": "m", "messages": copy.deepcopy(self.history)}
        rawmm.offload_images_inplace(body, store=self.store)
        assert "base64" not in repr(body)

        turn = prepare_turn(self.trace, body["messages"])
        prompt = Rendered(policy=self.policy, store=self.store)
        previous, sidecar = turn.previous_token_ids(), turn.previous_multi_modal_data()
        if previous is not None:
            prompt.add([*previous[0], *previous[1]], -1)
        if sidecar is not None:
            prompt.hashes += sidecar.mm_hashes["image"]
            prompt.ranges += sidecar.mm_placeholders["image"]
            prompt.items += sidecar.mm_items["image"]
        new = turn.prompt if previous is None else turn.tail
        for index, message in enumerate(new):
            prompt.add_message(message, index)
        prompt.add([fake_renderer.START, fake_renderer.ROLES["AssistantMessage"]], -1)
        spans = prompt.spans(len(new)) if previous is None else turn.prompt_message_spans(prompt)

        reply = f"{text} so click {len(self.history)}"
        sampled, scores = self.sample(reply, prompt.token_ids)
        turn.commit(
            fake_renderer.response(
                reply,
                prompt,
                completion_ids=sampled,
                completion_logprobs=scores,
                message_spans=spans,
                bridged=previous is not None,
            )
        )
        self.history.append({"role": "assistant", "content": reply})

    def sample(self, text: str, prompt_ids: list[int]) -> tuple[list[int], list[float]]:
        """The words of a reply, and how likely the model finds each."""
        sampled = [*words(text), fake_renderer.END]
        whole = [*prompt_ids, *sampled]
        types = [int(token == fake_renderer.PAD) for token in whole]
        images = [
            decode_image(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
            for message in self.history
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        inputs = self.policy.processor(images=images, return_tensors="pt")
        with torch.no_grad():
            scores = logprobs(self.policy, whole, types, [len(whole)], dict(inputs))
        return sampled, scores[len(prompt_ids) :].tolist()


def inline(number: int) -> dict[str, Any]:
    encoded = base64.b64encode(screenshot(number)).decode()
    kind = "jpeg" if number == TURNED else "png"
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{encoded}"}}


def roll_out(policy: Policy, store: ImageStore) -> list[bytes]:
    """Two rollouts of several turns, the first one with a fork, as MessagePack."""
    forked, other = Worker(policy, store), Worker(policy, store)
    forked.turn("the page shows", 0, 1)
    forked.turn("a dialog shows", 2)
    forked.turn("the form shows", 3)
    forked.history = forked.history[:4]
    forked.turn("another form shows", 4)
    other.turn("an empty page shows", 5)
    other.turn("and an icon shows", 6)
    return [rawmm.encode_msgpack(worker.trace) for worker in (forked, other)]
