"""The page of a run: what it says, and that it asks for nothing."""

import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.cohort.runs import rows_of, succeed

from medxgan.cohort.report.page import interval

pytestmark = pytest.mark.usefixtures("plain_terminal")


class Page(HTMLParser):
    """What a page holds."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.sources: list[str] = []
        self.alternatives: list[str] = []
        self.levels: list[int] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        named = dict(attrs)
        self.sources += [named[name] or "" for name in ("src", "href", "action") if name in named]
        if tag == "img":
            self.alternatives.append(named.get("alt") or "")
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_the_page_stands_alone(finished: Path) -> None:
    page = Page(finished / "report.html")
    assert not page.tags.keys() & {"script", "link", "iframe", "object"}
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    assert len(page.alternatives) == page.tags["img"]
    assert all(page.alternatives)
    assert page.levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(page.levels, page.levels[1:], strict=False))
    assert "default-src 'none'" in (finished / "report.html").read_text()


def test_the_page_counts_what_the_rows_hold(finished: Path) -> None:
    rows, page = rows_of(finished), Page(finished / "report.html")
    assert f"{len(rows)} films, explained by phantom 3" in page.text
    for verdict, count in Counter(row["verdict"] for row in rows if row["verdict"]).items():
        assert f"{count} {verdict.replace('_', ' ')}" in page.text
    for code, field in {(row["error_code"], row["error_field"]) for row in rows if row["error_code"]}:
        assert f"{code} ({field}) 1" in page.text
    for ward in ("north", "south"):
        assert f"{ward} {sum(row['source'] == ward for row in rows)}" in page.text
    worst = max(
        (row for row in rows if row["positive"] and row["familiar"]), key=lambda row: row["reconstruction_mse"] or 0
    )
    assert worst["film"] in page.text


def test_names_are_not_taken_for_markup(listed: Path, server: str, tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    Image.new("L", (48, 48), 9).save(folder / "<b>blank & more.png")
    shutil.copy(listed.with_suffix("") / "north" / "000.png", folder / "000.png")
    run = succeed(folder, tmp_path / "run", "--server", server)
    page = Page(run / "report.html")
    assert "<b>blank & more.png" in page.text, "it is unfamiliar"


def test_a_run_without_an_explanation_has_a_page(server: str, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "empty.dcm").touch()
    run = succeed(tmp_path / "films", tmp_path / "run", "--server", server)
    page = Page(run / "report.html")
    assert "unreadable (film) 1" in page.text
    assert page.tags["img"] == 0


@given(st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_an_interval_holds_its_share(counted: tuple[int, int]) -> None:
    count, total = counted
    low, high = interval(count, total)
    assert 0 <= low <= count / total <= high <= 1
