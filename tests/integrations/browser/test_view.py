"""The page of `rawmm view` in a browser: clicks, keys, hostile records, many messages, pictures."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.builders import json_lines
from tests.unit.images.pictures import exif_of, picture
from tests.unit.view.records import HOSTILE, hostile_trace, image_part, node, tokens, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator

    from tests.integrations.browser.conftest import Shown

    Show = Callable[..., Shown]

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
FLOW = ROOT / "tests" / "data" / "wire" / "flow-0.4.0"
QWEN = {"agent": {"config": {"model": "Qwen/Qwen3-VL-8B-Instruct"}}}


def current(shown: Shown) -> str:
    return str(shown.page.locator(".row.current .top .mono").first.inner_text())


def in_window(locator: Locator) -> bool:
    box = locator.bounding_box()
    return box is not None and 0 <= box["y"] < 900


def test_image_opens_in_full_size_and_keys_go_through_images(show: Show) -> None:
    shown = show(EXAMPLES / "trace.json")
    page = shown.page
    page.locator("button.thumb").first.click()
    dialog = page.locator("dialog.lightbox[open]")
    picture = dialog.locator(".stage img")
    assert "1 of 4" in dialog.inner_text()
    assert (
        picture.evaluate("async (one) => { await one.decode(); return one.naturalWidth; }") == 480
    )
    page.keyboard.press("ArrowRight")
    assert "2 of 4" in dialog.inner_text()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "4 of 4" in dialog.inner_text()
    page.keyboard.press("z")
    assert "actual" in (dialog.locator(".stage").get_attribute("class") or "")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_keys_go_from_message_to_message(show: Show) -> None:
    shown = show(EXAMPLES / "trace.json")
    page = shown.page
    for keys, path in (("jjj", "$.nodes[2]"), ("k", "$.nodes[1]"), ("jjjj", "$.nodes[5]")):
        for key in keys:
            page.keyboard.press(key)
        assert current(shown) == path
        assert in_window(page.locator(".row.current"))
    page.keyboard.press("Enter")
    assert "$.nodes[5]" in page.locator("dialog.lightbox[open]").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.locator("dialog.keys[open]").count() == 1


def test_token_is_told_by_pointer_and_by_key(show: Show) -> None:
    shown = show(EXAMPLES / "trace.json")
    page = shown.page
    for key in "jjj":
        page.keyboard.press(key)
    strip = page.locator(".row.current canvas.strip")
    strip.hover()
    told = page.locator(".tip").inner_text()
    assert "sampled" in told
    assert "logprob -" in told
    assert "id " in told
    strip.focus()
    page.keyboard.press("Home")
    assert page.locator(".tip").inner_text().startswith("token 1 of 29 · id 151644 · scaffold")
    page.keyboard.press("ArrowRight")
    assert (strip.get_attribute("aria-valuetext") or "").startswith("token 2 of 29")
    page.keyboard.press("End")
    assert page.locator(".tip").inner_text().startswith("token 29 of 29")


def test_search_marks_and_goes_to_matches(show: Show) -> None:
    shown = show(EXAMPLES / "trace.json")
    page = shown.page
    page.keyboard.press("/")
    page.keyboard.type("espresso")
    page.locator("mark").first.wait_for()
    assert page.locator(".search .small").inner_text().startswith("1 of ")
    first = current(shown)
    page.keyboard.press("Enter")
    assert current(shown) != first
    page.keyboard.press("Escape")
    expect(page.locator("mark")).to_have_count(0)


def test_records_are_searched_filtered_and_chosen(show: Show) -> None:
    shown = show(EXAMPLES / "rollout.jsonl", *sorted((EXAMPLES / "broken").glob("*.json")))
    page = shown.page
    rows = page.locator(".record")
    assert rows.count() == 13
    page.get_by_role("button", name="violations", exact=True).first.click()
    assert rows.count() == 8
    page.get_by_role("button", name="parent_order", exact=True).click()
    assert rows.count() == 1
    rows.first.click()
    assert page.locator(".violation .code").first.inner_text() == "parent_order"
    page.get_by_role("button", name="all", exact=True).click()
    page.get_by_label("Search records").fill("tabby CAT")
    expect(rows).to_have_count(3)
    page.get_by_label("Search records").fill("")
    expect(rows).to_have_count(13)
    page.locator("main").focus()
    before = page.locator(".record-head").inner_text()
    page.keyboard.press("]")
    assert page.locator(".record-head").inner_text() != before


def test_violation_is_pinned_to_its_message_and_linked(show: Show, tmp_path: Path) -> None:
    nodes = [node(i - 1 if i else None, f"message {i}") for i in range(60)]
    nodes[40]["mask"] = [True]
    shown = show(json_lines(tmp_path / "a.jsonl", trace(*nodes)))
    page = shown.page
    link = page.locator(".violations .violation")
    told = link.inner_text()
    assert "$.nodes[40].mask" in told
    assert "stream_length" in told
    link.click()
    assert current(shown) == "$.nodes[40]"
    card = page.locator(".row.current .card.broken")
    assert in_window(card)
    assert "stream_length" in card.locator(".violation").inner_text()
    page.keyboard.press("k")
    page.keyboard.press("n")
    assert current(shown) == "$.nodes[40]"


def test_branches_forks_and_compaction_are_shown(show: Show, tmp_path: Path) -> None:
    link = [{"node": 1, "type": "compaction"}]
    record = trace(
        node(None, "root"),
        node(0, "first", **tokens(sampled=3), sampled=True),
        node(0, "second", semantic_parents=link),
        node(2, "third"),
    )
    shown = show(json_lines(tmp_path / "a.jsonl", record))
    page = shown.page
    assert page.locator(".card .fork-chip").inner_text() == "fork: 2 branches"
    assert page.locator("circle.dot.sampled").count() == 1
    assert page.locator("path.lane").count() == 1
    assert page.locator(".compaction-chip").inner_text() == "compaction of 1"
    page.get_by_role("button", name="branch 2").click()
    assert page.locator(".card").count() == 3
    page.locator(".compaction-chip").click()
    assert current(shown) == "$.nodes[1]"
    page.locator("canvas.map").click(position={"x": 12, "y": 12})
    assert current(shown) == "$.nodes[0]"


def test_orientation_transparency_and_accounts_are_shown(show: Show, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), (9, 9, 9, 9)).save(out, "PNG")
    turned = picture("JPEG", (640, 480), exif=exif_of(6))
    record = trace(
        node(None, image_part(out.getvalue())),
        node(0, image_part(turned, "image/jpeg"), **tokens(content=3, image=300)),
        node(1, image_part(turned, "image/jpeg"), **tokens(content=3, image=299)),
        mm_token_type_id_map={"99": 1}, **QWEN,
    )  # fmt: skip
    shown = show(json_lines(tmp_path / "a.jsonl", record))
    page = shown.page
    assert page.locator(".flag").all_inner_texts() == ["transparent", "EXIF 6", "EXIF 6"]
    items = page.locator(".item").all_inner_texts()
    assert "✓ the placeholder has this length" in items[0]
    assert "✗ the placeholder has 299" in items[1]
    assert "1 \u00d7 40 \u00d7 30" in items[0]  # upright


def test_first_difference_is_marked_side_by_side(show: Show, tmp_path: Path) -> None:
    one = [node(i - 1 if i else None, f"message {i}") for i in range(50)]
    other = json.loads(json.dumps(one))
    other[30]["message"]["content"][0]["text"] = "another"
    shown = show(json_lines(tmp_path / "a.jsonl", trace(*one)), "--compare",
                 json_lines(tmp_path / "b.jsonl", trace(*other)))  # fmt: skip
    page = shown.page
    assert "$.nodes[30].message.content[0].text" in page.locator(".comparison").inner_text()
    page.keyboard.press("d")
    row = page.locator(".row.current")
    assert row.locator(".card").count() == 2
    assert row.locator(".difference.first").count() == 1
    assert in_window(row)
    left, right = (card.bounding_box() for card in row.locator(".card").all())
    assert left is not None
    assert right is not None
    assert left["x"] < right["x"]
    assert left["y"] == right["y"]
    page.get_by_role("button", name="differences", exact=True).click()
    assert page.locator(".row").count() == 1


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_record_runs_and_loads_nothing(show: Show, tmp_path: Path, text: str) -> None:
    record = hostile_trace(text)
    record["nodes"].append(node(0, text + "x" * 1_000_000))
    path = tmp_path / "a.json"
    path.write_text(json.dumps(record))
    shown = show(path, "--type", "Trace", "--compare", path)
    page = shown.page
    page.evaluate("for (const one of document.querySelectorAll('summary')) one.click()")
    page.keyboard.press("j")
    if "\udc80" not in text:  # no decoder reads that
        page.locator("button.thumb").first.click()
        page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type(text.replace("\x00", "")[:40] or "x")
    page.wait_for_timeout(200)
    assert page.evaluate("[window.ran, Object.prototype.ran, ({}).x]") == [None, None, None]
    assert page.evaluate("document.scripts.length") == page.evaluate(
        "document.querySelectorAll('script[type=\"application/json\"]').length + 1"
    )
    assert page.evaluate("[...document.links].every((one) => one.protocol === 'file:')")
    assert (
        page.evaluate("document.querySelectorAll('iframe, object, embed, form, base, link').length")
        == 0
    )


def test_invisible_characters_are_shown_by_their_numbers(show: Show, tmp_path: Path) -> None:
    hidden = ["\u202e", "\u061c", "\u00ad", "\u200b", "\u2028", "\u3164", "\U000e0041"]
    joined = "\N{HEAVY BLACK HEART}\ufe0f \u06cc\u200c\u06a9\t\n"
    path = tmp_path / "a.json"
    path.write_text(json.dumps(trace(node(None, joined + "a".join(hidden)))))
    page = show(path).page
    assert page.locator(".text .hidden-char").all_text_contents() == [
        f"U+{ord(char):04X}" for char in hidden
    ]


def test_markup_and_scripts_that_are_added_are_refused(show: Show) -> None:
    shown = show(EXAMPLES / "trace.json")
    refused = shown.page.evaluate(
        """() => {
            let refused = 0;
            document.addEventListener('securitypolicyviolation', () => refused++);
            try { document.body.innerHTML = '<img src=x onerror=window.ran=1>'; } catch { refused++; }
            const script = document.createElement('script');
            try { script.text = 'window.ran = 1'; document.body.append(script); } catch { refused++; }
            const picture = document.createElement('img');
            picture.src = 'http://127.0.0.1:9/x.png';
            document.body.append(picture);
            return new Promise((done) => setTimeout(() => done([refused > 2, window.ran]), 300));
        }"""
    )
    assert refused == [True, None]
    # The browser reports what it refused; nothing left the page.
    shown.messages.clear()
    shown.requests[:] = [url for url in shown.requests if "127.0.0.1:9" not in url]


def many(count: int, images: int) -> dict[str, Any]:
    """A trace of `count` messages with that many different images."""
    chance = random.Random(4)
    pictures = [picture(size=(640, 400), seed=seed) for seed in range(images)]
    nodes = []
    for i in range(count):
        parent = (
            None
            if not i
            else i - 1
            if chance.random() > 0.03
            else chance.randrange(max(0, i - 30), i)
        )
        if i % 2:
            nodes.append(
                node(
                    parent,
                    "done " * 20,
                    role="assistant",
                    sampled=True,
                    **tokens(scaffold=3, sampled=200),
                )
            )
            continue
        parts = [f"step {i}"]
        more = [image_part(pictures[i // 2])] if i // 2 < images else []
        nodes.append(
            node(parent, *parts, *more, **tokens(scaffold=5, content=60, image=250 * len(more)))
        )
    return trace(*nodes, mm_token_type_id_map={"99": 1})


def test_thousand_messages_with_300_images_keep_few_rows_and_scroll(
    show: Show, tmp_path: Path
) -> None:
    shown = show(json_lines(tmp_path / "a.jsonl", many(1000, 300)))
    page = shown.page
    assert page.locator(".tile b").first.inner_text() == "1,000"
    assert page.locator(".row").count() < 30
    assert page.evaluate("document.body.querySelectorAll(':not(script)').length") < 2000
    for key, last in (("k", "$.nodes[999]"), ("j", "$.nodes[999]")):
        page.keyboard.press(key)
        assert current(shown) == last
        assert in_window(page.locator(".row.current"))
    page.locator("main").evaluate(
        """async (main) => {
            for (let i = 0; i < 60; i++) { main.scrollTop -= 400; await new Promise(requestAnimationFrame); }
        }"""
    )
    page.wait_for_timeout(200)
    assert page.locator(".row").count() < 30
    assert page.evaluate(
        """() => {
            // The row that has the focus stays, wherever it is.
            const rows = [...document.querySelectorAll('.row:not(.current)')].map((row) => row.getBoundingClientRect());
            rows.sort((a, b) => a.top - b.top);
            const filled = rows[0].top <= 60 && rows.at(-1).bottom >= innerHeight;
            return filled && rows.every((row, i) => !i || Math.abs(row.top - rows[i - 1].bottom) < 1.5);
        }"""
    )
    page.locator("main").evaluate("(main) => { main.scrollTop = main.scrollHeight / 3; }")
    page.locator(".thumb img").first.wait_for()
    page.wait_for_timeout(200)
    drawn = page.evaluate(
        "[...document.querySelectorAll('.thumb img')].map((one) => one.naturalWidth)"
    )
    assert drawn
    assert all(drawn)


SHOTS: dict[str, tuple[list[object], int, int, str]] = {
    "trace": ([EXAMPLES / "trace.json"], 1600, 1000, "light"),
    "trace-dark": ([EXAMPLES / "trace.json"], 1600, 1000, "dark"),
    "trace-narrow": ([EXAMPLES / "trace.json"], 400, 860, "dark"),
    "flow": ([FLOW / "offloaded.trace.json", "--image-dir", FLOW / "images"], 1600, 1000, "light"),
    "broken": ([EXAMPLES / "broken" / "placeholder_order.json"], 1600, 1000, "light"),
    "compare": (
        [FLOW / "inline.trace.json", "--compare", FLOW / "offloaded.trace.json",
         "--image-dir", FLOW / "images"], 1600, 1000, "dark",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOTS)
def test_page_fits_the_window_and_is_drawn(
    show: Show, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, width, height, scheme = SHOTS[name]
    monkeypatch.chdir(ROOT)
    relative = [one.relative_to(ROOT) if isinstance(one, Path) else one for one in words]
    shown = show(*relative, width=width, height=height, scheme=scheme)
    page = shown.page
    if name == "trace":
        page.locator("main").evaluate("(main) => { main.scrollTop = 1180; }")
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "(() => { const m = document.querySelector('main'); return m.scrollWidth <= m.clientWidth; })()"
    )
    raw = page.screenshot()
    image = Image.open(io.BytesIO(raw)).convert("RGB")
    assert image.size == (width, height)
    red, green, blue = image.getpixel((width - 4, height - 4))  # type: ignore[misc]
    assert (red + green + blue > 600) == (scheme == "light")
    for chip in page.locator(".chip.diff-chip").all():
        style = "(one) => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor]"
        text, behind = chip.evaluate(style)
        assert text != behind
    assert len(image.getcolors(1 << 24) or ()) > 40
    if folder := os.environ.get("RAWMM_SCREENSHOTS"):
        small = image.quantize(96, dither=Image.Dither.NONE)
        small.save(Path(folder) / f"view-{name}.png", optimize=True)
