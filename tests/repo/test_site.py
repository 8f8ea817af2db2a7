"""The documentation as a site: its pages, links and navigation. `tests/integrations/site` builds it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import rawmm
from rawmm._generated.exports import MODULES
from sitegen import api, pages
from sitegen.build import navigation

if TYPE_CHECKING:
    from collections.abc import Iterator


def listed(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for one in entry.values() if isinstance(entry, dict) else entry:
            yield from listed(one)


def test_every_written_page_is_in_the_navigation_once() -> None:
    counts = Counter(listed(navigation()))
    assert set(counts.values()) == {1}
    assert set(pages.written().values()) <= counts.keys()


def test_every_public_name_has_a_place_on_a_page_of_the_api() -> None:
    names = [name for module in api.modules() for name in module.names]
    assert len(names) == len(set(names))
    public = {f"rawmm.{name}" for name in rawmm.__all__ if name not in {*MODULES, "__version__"}}
    assert public <= set(names)


def test_links_lead_to_pages_of_the_site_or_to_the_repository() -> None:
    text = pages.on_site("docs/index.md")
    assert "](schemas/index.md#error-codes)" in text
    assert f"]({pages.REPOSITORY}/blob/main/LICENSE)" in text
    assert "](pictures/view-trace.png)" in text
    text = pages.on_site("docs/guides/your-layout.md")
    assert "](../layouts.md#families)" in text
    assert "](../project/contributing.md#add-a-layout-family)" in text


def test_links_in_code_stay() -> None:
    text = "[a](b.md)\n\n```md\n[a](b.md)\n```\n[a](b.md)"
    changed = pages.with_links(text, lambda target: f"x/{target}")
    assert changed == "[a](x/b.md)\n\n```md\n[a](b.md)\n```\n[a](x/b.md)"
