"""The page without a browser: its structure, its policy, its escaping, and its budget."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from typing import TYPE_CHECKING, Any

from PIL import Image

from rawmm import ImageStore, layouts
from rawmm.errors import ContractError
from rawmm.view import Page, is_page
from tests.cases import each
from tests.unit.images.pictures import exif_of, picture
from tests.unit.view.records import (
    HOSTILE,
    Reader,
    hash_of,
    hostile_trace,
    image_part,
    node,
    page_of,
    tokens,
    trace,
    viewed,
)

if TYPE_CHECKING:
    from pathlib import Path

QWEN = {"agent": {"config": {"model": "Qwen/Qwen3-VL-8B-Instruct"}}}
PHOTO = picture("JPEG", (640, 480))


class TestPolicy:
    def test_only_the_hashes_of_style_and_script_are_allowed(self) -> None:
        page = page_of(viewed(trace(node(None, "hello"))))
        directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
        assert directives == {
            "default-src": "'none'",
            "script-src": hash_of(page.scripts["code"]),
            "style-src": hash_of(page.style),
            "img-src": "blob:",
            "base-uri": "'none'",
            "form-action": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }

    def test_nothing_is_loaded_and_no_attribute_runs(self) -> None:
        page = page_of(viewed(trace(node(None, "hello", image_part(PHOTO, "image/jpeg")))))
        assert set(page.tags) <= {
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "noscript",
            "script",
        }
        names = {name for _, name, _ in page.attributes}
        assert names <= {"lang", "charset", "http-equiv", "content", "name", "type", "id"}

    def test_the_script_makes_no_markup_and_no_request(self) -> None:
        code = page_of().scripts["code"]
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(",
                     "fetch(", "XMLHttpRequest", "WebSocket", "import(", 'setAttribute("on'):  # fmt: skip
            assert word not in code, word
        assert set(re.findall(r"https?://[^\s\"']+", code)) == {"http://www.w3.org/2000/svg"}


class TestEscaping:
    @each("text", HOSTILE, ids=ascii)
    def test_hostile_text_stays_data(self, text: str) -> None:
        page = page_of(viewed(hostile_trace(text)), title=text)
        plain = page_of(viewed(hostile_trace("x")), title="x")
        assert page.tags == plain.tags
        assert page.scripts.keys() == plain.scripts.keys()
        assert page.scripts["code"] == plain.scripts["code"]
        assert page.nodes()[0]["content"][0]["text"] == text
        for name, script in page.scripts.items():
            assert name == "code" or "<" not in script

    def test_right_to_left_and_hidden_characters_are_marked_by_the_script(self) -> None:
        assert r"[\p{Cc}\p{DI}\p{Zl}\p{Zp}\ufff9-\ufffb]/u" in page_of().scripts["code"]

    def test_long_text_is_cut_with_its_length(self) -> None:
        page = page_of(viewed(trace(node(None, "x" * 1_000_000))))
        (part,) = page.nodes()[0]["content"]
        assert (len(part["text"]), part["of"]) == (20_000, 1_000_000)
        assert sum(map(len, page.scripts.values())) < 200_000


class TestNodes:
    def test_tokens_finish_and_links_are_shown(self) -> None:
        record = trace(
            node(None, "go", **tokens(scaffold=2, content=3)),
            node(0, "went", role="assistant", sampled=True, finish_reason="stop",
                 semantic_parents=[{"node": 0, "type": "compaction"}], **tokens(scaffold=1, sampled=4)),
        )  # fmt: skip
        one, other = page_of(viewed(record)).nodes()
        assert (one["role"], one["tokens"], one["begin"], one["sampled"]) == ("user", 5, 0, False)
        assert (other["parent"], other["begin"], other["sampledTokens"]) == (0, 5, 4)
        assert (other["finish"], other["links"]) == ("stop", [["compaction", 0]])

    def test_calls_and_reasoning_are_shown(self) -> None:
        message = {
            "role": "assistant", "content": None, "reasoning_content": "hm",
            "tool_calls": [{"id": "c", "name": "click", "arguments": "{}"}], "name": "n",
        }  # fmt: skip
        (one,) = page_of(viewed(trace({"message": message, "weight_versions": [1]}))).nodes()
        assert one["calls"] == [["click", {"text": "{}"}]]
        assert one["reasoning"] == {"text": "hm"}
        assert one["other"] == [["name", '"n"'], ["weight_versions", "[1]"]]

    def test_violations_outside_of_traces_are_shown_with_the_first(self) -> None:
        record = {"traces": [trace(node(None, "a")), trace(node(None, "b"))]}
        paths = ["$", "$.ok", "$.traces[1].nodes[0].mask", "$.traces[1]"]
        errors = [ContractError("wrong_type", path, expected="x", got="y") for path in paths]
        page = page_of(viewed(record, *errors))
        shown = [
            [(error["path"], error["node"]) for error in page.json(name)["sides"][0]["errors"]]
            for name in ("r0", "r1")
        ]
        assert shown == [
            [("$", None), ("$.ok", None)],
            [("$.traces[1].nodes[0].mask", 0), ("$.traces[1]", None)],
        ]

    def test_forks_and_branches_are_counted(self) -> None:
        record = trace(node(None, "a"), node(0, "b"), node(0, "c"))
        page = page_of(viewed(record))
        (side,) = page.json("r0")["sides"]
        assert (side["forks"], side["leaves"], side["lanes"]) == (1, [1, 2], 2)
        assert page.index["records"][0]["forks"] == 1

    def test_violations_are_pinned_to_their_nodes(self) -> None:
        errors = [
            ContractError("wrong_type", path, expected="a", got="b", hint="c")
            for path in ("$.nodes[1].message.content[0].text", "$.nodes[10]", "$.nodes", "$")
        ]
        page = page_of(viewed(trace(node(None, "a"), node(0, "b")), *errors))
        shown = page.json("r0")["sides"][0]["errors"]
        assert [one["node"] for one in shown] == [1, None, None, None]
        assert shown[0] == {
            "path": "$.nodes[1].message.content[0].text", "code": "wrong_type",
            "expected": "a", "got": "b", "hint": "c", "node": 1,
        }  # fmt: skip
        assert page.index["records"][0]["codes"] == ["wrong_type"]

    @each(
        "value",
        [
            None, 3, "x", [], {}, [1], [[]], {"nodes": 3}, {"nodes": [None, {}, {"message": 3}]},
            {"traces": []}, {"traces": [3, {"nodes": 1}]}, {"message": {}}, {"role": "user"},
            {"nodes": [{"parent": 5, "message": {"role": 1, "content": {"a": b"x"}}}]},
            {"messages": [{"role": "user", "content": [1, None, {"text": 3}], "tool_calls": [1]}]},
            {"nodes": [{"message": {"content": "x"}, "semantic_parents": [1], "multi_modal_data":
                        {"mm_items": {"image": [None, 3]}, "mm_hashes": 3, "mm_placeholders": {"image": [{}]}}}]},
        ],
        ids=repr,
    )  # fmt: skip
    def test_any_value_has_a_page(self, value: Any) -> None:
        page = page_of(viewed(value))
        assert page.index["records"]

    def test_other_records_with_messages_are_shown(self) -> None:
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        }
        for value, path in (
            (body, "$.messages[1]"),
            (body["messages"], "$[1]"),
            ([node(None, "a"), node(0, "b")], "$[1]"),
        ):
            assert [one["path"] for one in page_of(viewed(value)).nodes()][1] == path
        episode = {"traces": [trace(node(None, "a"), id="one"), trace(node(None, "b"), id="two")]}
        error = ContractError("wrong_type", "$.traces[1].nodes[0].message", expected="a", got="b")
        page = page_of(viewed(episode, error))
        assert [record["name"] for record in page.index["records"]] == ["one", "two"]
        assert [record["errors"] for record in page.index["records"]] == [0, 1]

    def test_record_without_messages_is_shown_as_it_is(self) -> None:
        (side,) = page_of(viewed({"offset": 1, "length": 2})).json("r0")["sides"]
        assert side["plain"] == {"text": '{"offset":1,"length":2}'}


class TestImages:
    def test_image_is_shown_with_size_and_orientation(self) -> None:
        turned = picture("JPEG", (64, 48), exif=exif_of(6))
        page = page_of(viewed(trace(node(None, image_part(turned, "image/jpeg")))))
        (fact,) = page.index["images"]
        assert (fact["size"], fact["shown"], fact["orientation"]) == ([64, 48], [48, 64], 6)
        assert (fact["bytes"], fact["transparent"], fact["type"]) == (
            len(turned),
            False,
            "image/jpeg",
        )
        assert page.nodes()[0]["content"] == [{"image": 0, "where": "inline", "note": ""}]

    def test_transparency_is_flagged(self) -> None:
        out = io.BytesIO()
        Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(out, "PNG")
        (fact,) = page_of(viewed(trace(node(None, image_part(out.getvalue()))))).index["images"]
        assert fact["transparent"]

    def test_equal_images_are_in_the_page_once(self) -> None:
        part = image_part(PHOTO, "image/jpeg")
        record = json.dumps(trace(node(None, part, part), node(0, part)))
        page = page_of(viewed(json.loads(record)), viewed(json.loads(record)))
        assert len(page.index["images"]) == 1
        assert page.index["records"][0]["images"] == 3

    def test_thumbnail_is_smaller_than_the_file(self) -> None:
        page = page_of(viewed(trace(node(None, image_part(noise(900), "image/png")))))
        (fact,) = page.index["images"]
        assert fact["small"]
        assert fact["whole"]
        assert len(page.scripts["s0"]) * 10 < len(page.scripts["w0"])

    def test_images_keep_to_the_budget(self) -> None:
        parts = [image_part(noise(300, seed)) for seed in range(6)]
        size = len(parts[0]["image_url"]["url"])
        for megabytes in (0, 0.02, 0.15, 3 * size / 1e6, 99):
            page = page_of(viewed(trace(node(None, *parts))), megabytes=megabytes)
            held = [len(text) for name, text in page.scripts.items() if re.match(r"[sw]\d", name)]
            assert sum(held) <= megabytes * 1e6
            assert len(page.index["images"]) == 6  # the rest is named
        assert len(held) == 12

    def test_stored_image_is_linked_and_read(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path / "images")
        stored = store.put(PHOTO)
        part = {"type": "image_url", "image_url": {"url": stored.uri}}
        page = page_of(viewed(trace(node(None, part))), store=store)
        assert page.index["images"][0]["href"] == stored.path.as_uri()
        assert page.nodes()[0]["content"][0]["where"] == stored.uri

    def test_moved_image_is_found_by_its_hash(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path / "images")
        name = store.put(PHOTO).path.name
        part = {"type": "image_url", "image_url": {"url": f"file:///data/elsewhere/{name}"}}
        page = page_of(viewed(trace(node(None, part))), store=store)
        (shown,) = page.nodes()[0]["content"]
        assert shown["image"] == 0
        assert "found by its hash" in shown["note"]
        assert not page.json("r0")["sides"][0]["errors"]

    def test_missing_image_is_a_violation_of_its_node(self, tmp_path: Path) -> None:
        url = (tmp_path / "images" / f"{'a' * 64}.png").as_uri()
        part = {"type": "image_url", "image_url": {"url": url}}
        record = trace(node(None, "x"), node(0, part))
        page = page_of(viewed(record), store=ImageStore(tmp_path / "images"))
        (error,) = page.json("r0")["sides"][0]["errors"]
        assert (error["code"], error["node"]) == ("missing_image", 1)
        assert page.nodes()[1]["content"][0]["image"] is None

    def test_image_elsewhere_is_not_fetched(self) -> None:
        part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
        (shown,) = page_of(viewed(trace(node(None, part)))).nodes()[0]["content"]
        assert shown["note"].startswith("not read")

    def test_damaged_image_has_facts_without_a_thumbnail(self) -> None:
        raw = noise(300)
        at = raw.index(b"IDAT") + 40
        raw = raw[:at] + bytes(64) + raw[at + 64 :]
        (fact,) = page_of(viewed(trace(node(None, image_part(raw))))).index["images"]
        assert not fact["small"]


GRID = {"image_grid_thw": [[1, 30, 40]]}


class TestAccounts:
    def record(self, **item: Any) -> dict[str, Any]:
        fields = {"family": "qwen_vl", "payload": GRID, "modality": "image"} | item
        sidecar = {
            "mm_items": {"image": [fields]},
            "mm_hashes": {"image": ["0" * 32]},
            "mm_placeholders": {"image": [{"offset": 5, "length": 300}]},
        }
        part = image_part(PHOTO, "image/jpeg")
        return trace(
            node(None, "a", **tokens(content=3)),
            node(0, part, multi_modal_data=sidecar, **tokens(content=2, image=300)),
        )

    def item(self, record: Any, **options: Any) -> dict[str, Any]:
        (one,) = page_of(viewed(record), **options).nodes()[-1]["items"]
        return dict(one)

    def test_descriptor_stands_beside_range_and_account(self) -> None:
        fingerprint = layouts.get("qwen_vl").fingerprint()
        record = self.record(layout_fingerprint=fingerprint)
        sidecar = record["nodes"][1]["multi_modal_data"]
        sidecar["mm_hashes"]["image"] = [hashlib.sha256(PHOTO).hexdigest()[:32]]
        one = self.item(record)
        assert (one["offset"], one["length"], one["fingerprint"]) == (5, 300, fingerprint)
        account = one["account"]
        assert (account["grid"], account["tokens"]) == ([1, 30, 40], 300)
        assert (account["fits"], account["payload"]) == (True, True)
        assert "doubt" not in account

    def test_item_with_the_hash_of_another_image_has_no_account(self) -> None:
        assert self.item(self.record())["account"] is None

    def test_other_parameters_and_lengths_are_told(self) -> None:
        record = self.record(layout_fingerprint="0" * 32, payload={})
        sidecar = record["nodes"][1]["multi_modal_data"]
        sidecar["mm_hashes"] = {}
        sidecar["mm_placeholders"]["image"][0]["length"] = 299
        account = self.item(record)["account"]
        assert "other parameters" in account["doubt"]
        assert (account["fits"], account["payload"]) == (False, False)

    def test_image_without_descriptor_has_its_run_of_tokens(self) -> None:
        part = image_part(PHOTO, "image/jpeg")
        record = trace(
            node(None, part, **tokens(content=2, image=300)), mm_token_type_id_map={"99": 1}, **QWEN
        )
        one = self.item(record)
        assert (one["offset"], one["length"], one["derived"]) == (2, 300, True)
        assert one["account"]["fits"]
        assert "Qwen3-VL" in one["account"]["source"]
        del record["agent"]
        assert self.item(record)["account"] is None
        assert self.item(record, layout=layouts.get("qwen_vl"))["account"]["fits"]

    def test_image_that_the_layout_refuses_is_told(self) -> None:
        part = image_part(picture(size=(2000, 2)))
        record = trace(node(None, part, **tokens(image=4)), mm_token_type_id_map={"99": 1}, **QWEN)
        assert self.item(record)["account"]["refused"]


class TestComparison:
    def compared(self, one: Any, other: Any) -> Reader:
        with Page("two") as page:
            page.add_pair(viewed(one), viewed(other))
            return Reader(b"".join(page.html()).decode())

    def test_first_difference_is_marked_with_its_node(self) -> None:
        one = trace(node(None, "a"), node(0, "b"))
        other = trace(node(None, "a"), node(0, "c"), node(1, "d"))
        page = self.compared(one, other)
        found = page.json("r0")["differences"]
        first = found["list"][found["first"]]
        assert (first["path"], first["node"]) == ("$.nodes[1].message.content[0].text", 1)
        assert (first["old"], first["new"]) == ('"b"', '"c"')
        assert found["list"][-1]["old"] == "nothing"
        assert page.index["records"][0]["differs"]
        assert len(page.nodes(side=1)) == 3

    def test_image_stored_elsewhere_is_no_difference(self, tmp_path: Path) -> None:
        store = ImageStore(tmp_path / "images")
        part = {"type": "image_url", "image_url": {"url": store.put(PHOTO).uri}}
        with Page("two", store) as page:
            page.add_pair(
                viewed(trace(node(None, image_part(PHOTO, "image/jpeg")))),
                viewed(trace(node(None, part))),
            )
            shown = Reader(b"".join(page.html()).decode())
        found = shown.json("r0")["differences"]
        assert [one["moved"] for one in found["list"]] == [True]
        assert found["first"] is None
        assert not shown.index["records"][0]["differs"]

    def test_trace_without_a_counterpart_is_shown(self) -> None:
        one = {"traces": [trace(node(None, "a"))]}
        other = {"traces": [trace(node(None, "a")), trace(node(None, "b"))]}
        for page in (self.compared(one, other), self.compared(other, one)):
            assert [record["differs"] for record in page.index["records"]] == [False, True]
            (found,) = page.json("r1")["differences"]["list"]
            assert (found["path"], found["node"]) == ("$.traces[1]", None)

    def test_difference_is_shown_at_its_trace(self) -> None:
        def record(*texts: str, ok: bool = True) -> Any:
            return {"ok": ok, "traces": [trace(node(None, text)) for text in texts]}

        page = self.compared(record("a", "b", "c"), record("a", "x", "c"))
        assert [one["differs"] for one in page.index["records"]] == [False, True, False]
        (found,) = page.json("r1")["differences"]["list"]
        assert found["node"] == 0
        page = self.compared(record("a", "b"), record("a", "b", ok=False))
        assert [one["differs"] for one in page.index["records"]] == [True, False]

    def test_keys_that_are_no_strings_have_a_path(self) -> None:
        def record(value: int) -> Any:
            return {None: value, b"k": value, 5: value, "nodes": []}

        found = self.compared(record(1), record(2)).json("r0")["differences"]
        assert [each["path"] for each in found["list"]] == ["$.None", """$["b'k'"]""", "$[5]"]

    def test_many_differences_are_cut(self) -> None:
        page = self.compared({"nodes": [], "x": [1] * 5000}, {"nodes": [], "x": [2] * 5000})
        found = page.json("r0")["differences"]
        assert (len(found["list"]), found["more"]) == (2000, True)


def noise(side: int, seed: int = 0) -> bytes:
    """A PNG that does not compress."""
    pixels = random.Random(seed).randbytes(side * side * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_page_is_known_by_its_head() -> None:
    with Page("x") as page:
        written = b"".join(page.html())
    assert is_page(written)
    assert not is_page(b"<!doctype html><title>rawmm view</title>")
