"""A report in a browser of 1024x768: failures first, sorted by a heading; a film that is at hand opens."""

from pathlib import Path

import pytest
from tests.web.browsing import playwright, visited
from tests.web.films import SAMPLE
from tests.web.judging import serious, unreachable
from tests.web.reports import FIGURES, append, write_evaluation
from tests.web.rooms import Opening

pytestmark = pytest.mark.slow

DOUBTFUL = {"verdict": "VERDICT_STATUS_NOT_RELIABLE", "score": 0.6}


def test_a_report_is_sorted_and_a_film_opens(browser: playwright.Browser, opening: Opening, tmp_path: Path) -> None:
    images = {
        "good.png": {},
        "far.png": DOUBTFUL | {"figures": FIGURES | {"reconstruction_mse": 0.2}},
        "near.png": DOUBTFUL | {"figures": FIGURES | {"classifier_disagrees": 1.0}},
        "a-name-of-so-many-letters-that-it-takes-all-the-place-of-a-column-and-more-than-that-is-there.png": {},
        **{f"film-{number}.png": {} for number in range(200)},
    }
    write_evaluation(tmp_path / "report", images)
    append(tmp_path / "report", "{")
    (tmp_path / "films").mkdir()
    for name in ("good.png", "film-100.png"):
        (tmp_path / "films" / name).write_bytes(SAMPLE)
    (tmp_path / "films" / "far.png").write_text("no film")
    settings = {"report": tmp_path / "report", "report_films": tmp_path / "films"}
    size = {"width": 1024, "height": 768}
    with opening(**settings) as url, visited(browser, url, viewport=size) as page:
        page.click("text=Look through the report")
        page.wait_for_selector(".report tbody tr")
        names = page.locator(".report tbody th > :is(.link, .named)")
        assert names.all_inner_texts()[:2] == ["far.png", "near.png"]
        assert "204 films" in page.inner_text(".report")
        assert "1 part of the report" in page.inner_text(".notice")
        # Of a row that nobody has scrolled to, nothing is fetched.
        below = page.locator("tr:has-text('film-100.png') img.picture")
        assert below.get_attribute("src") is None
        below.scroll_into_view_if_needed()
        page.locator("tr:has-text('film-100.png') img.picture[src]").wait_for()
        assert serious(page) == []
        assert unreachable(page) == []
        place = page.locator("tr:has-text('far.png') .picture.none")
        place.wait_for()
        assert place.get_attribute("aria-label") == "No picture of far.png can be shown"
        page.wait_for_function("() => document.querySelector('img.picture').naturalWidth === 96")
        picture = page.locator("tr:has-text('good.png') img.picture")
        assert picture.get_attribute("alt") == "The film good.png, small, without a map. Verdict: Reliable."
        page.screenshot(path=tmp_path / "report.png")
        page.click("thead >> text=Agreement")
        assert names.nth(0).inner_text() == "near.png"
        assert page.get_attribute("th[aria-sort=ascending]", "scope") == "col"
        page.keyboard.press("Enter")  # the heading keeps the focus: the other way round
        assert names.nth(0).inner_text() != "near.png"
        page.click("thead >> text=Score")
        page.click("thead >> text=Score")
        assert set(names.all_inner_texts()[:2]) == {"far.png", "near.png"}
        page.click("thead >> text=Precision")
        assert names.nth(0).inner_text() == "film-199.png"
        page.get_by_label("Localisation of").select_option("random")
        assert page.locator(".report tbody tr >> nth=0 >> td >> nth=4").inner_text() == "0.100"
        assert names.count() == 200
        page.click("text=Show 4 more")
        assert names.count() == 204
        assert "not at hand" in page.inner_text("tr:has-text('near.png')")
        assert set(page.locator("tbody button").all_inner_texts()) == {"good.png", "far.png", "film-100.png"}
        page.click("tbody >> text=good.png")
        page.wait_for_selector(".legend >> text=Difference")
        assert page.inner_text(".subject") == "good.png"
        page.go_back()
        page.wait_for_selector("th[aria-sort=ascending] >> text=Precision")  # as it was left
