"""The documentation as a site: its pages, links and navigation. `tests/integrations/site` builds it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rawmm
from rawmm._generated.exports import MODULES
from sitegen import api, links, pages, schemas
from sitegen.build import SiteError, build, navigation

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


@pytest.mark.parametrize("name", ["notes.md", "pages/a.md", "zensical.toml"])
def test_folder_with_other_files_is_not_cleared(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(SiteError, match="no earlier build of the site"):
        build(tmp_path)
    assert file.read_text() == "mine"


def test_link_to_a_file_beside_the_site_is_found(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "other.html").write_text("x")
    (site / "page.html").write_text('<a href="../other.html">x</a>')
    assert links.problems(site) == ["page.html links to ../other.html: out of the site"]


def test_anchors_are_checked_in_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text('<a href="b.html#none">x</a>')
    (tmp_path / "b.html").write_text("x")
    monkeypatch.chdir(tmp_path)
    assert links.problems(Path()) == ["a.html links to b.html#none: no such anchor"]


def test_text_of_descriptions_is_not_read_as_markup() -> None:
    text = "`a<b>_*` is <b> & __c__ | *d* [e](f) `g`"
    assert pages.prose(text) == (r"`a<b>_*` is &lt;b&gt; &amp; \_\_c\_\_ | \*d\* \[e\](f) `g`")
    assert pages.cell("a|b\nc") == r"a\|b c"
    assert "<compact" not in schemas.pages()["schemas/RawMMRef.md"].partition("```")[0]


def test_links_in_code_stay() -> None:
    text = "[a](b.md)\n\n```md\n[a](b.md)\n```\n[a](b.md)"
    changed = pages.with_links(text, lambda target: f"x/{target}")
    assert changed == "[a](x/b.md)\n\n```md\n[a](b.md)\n```\n[a](x/b.md)"
