"""Pages of reports and plans in a real browser: they ask for nothing and are legible everywhere."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from tests.support import browser
from tests.unit.report import golden
from tests.unit.whatif import golden as plan

_CONTRAST = 4.5  # WCAG 2.2, level AA, for text
_COMPLAINTS = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown",
               "Audits.issueAdded"}  # fmt: skip

# Boxes are [left, top, right, bottom] in the page.
_BOXES = """(() => {
  const box = e => { const r = e.getBoundingClientRect();
    return [r.left + scrollX, r.top + scrollY, r.right + scrollX, r.bottom + scrollY]; };
  const shown = s => [...document.querySelectorAll(s)].map(box);
  const cut = e => e.offsetParent && e.scrollWidth > e.clientWidth + 1;
  return { page: document.documentElement.scrollWidth, width: innerWidth,
    blocks: shown('main > *'), plot: shown('svg')[0], list: shown('table.list')[0],
    texts: shown('svg text'), names: shown('svg .name'), marks: shown('svg .mark').length,
    cut: [...document.querySelectorAll('.list td, .list th')].filter(cut).map(e => e.textContent)};
})()"""

# Each text with its colour and the one behind it.
_COLOURS = """(() => {
  const none = 'rgba(0, 0, 0, 0)', style = e => getComputedStyle(e);
  const behind = e => !e ? 'rgb(255, 255, 255)' :
    style(e).backgroundColor === none ? behind(e.parentElement) : style(e).backgroundColor;
  const text = e => e.getClientRects().length &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  return [...document.querySelectorAll('main *')].filter(text).map(
    e => [e.textContent.slice(0, 40), style(e)[e.closest('svg') ? 'fill' : 'color'], behind(e)]);
})()"""


PAGES = {name: golden.HERE / "golden" / f"{name}.html" for name in golden.REPORTS}
PAGES["plan"] = plan.file("html")


@pytest.fixture(scope="module", params=PAGES)
def page(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[browser.Page]:
    file = PAGES[request.param]
    with browser.opened(file, tmp_path_factory.mktemp("profile")) as found:
        yield found


def test_nothing_is_asked_for_and_nobody_complains(page: browser.Page) -> None:
    asked = [
        event["params"]["request"]["url"]
        for event in page.told
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [Path(url).suffix for url in asked] == [".html"]
    assert [event for event in page.told if event.get("method") in _COMPLAINTS] == []


@pytest.mark.parametrize("width", [1280, 420])
def test_all_of_it_is_seen(page: browser.Page, width: int) -> None:
    page.show(width, 900, dark=False)
    seen = page.value(_BOXES)
    assert seen["page"] <= width == seen["width"], "the page scrolls sideways"
    assert seen["marks"] > 1
    for left, top, right, bottom in (seen["plot"], seen["list"]):
        assert left >= 0
        assert right - left > width * 0.7
        assert bottom - top > 150
    assert seen["list"][2] <= width, "a part of the candidates is out of sight"
    assert seen["cut"] == []
    assert width < 1000 or seen["plot"][2] <= width
    assert [box for box in seen["texts"] if not _within(box, seen["plot"])] == []
    assert [pair for pair in combinations(seen["names"], 2) if _overlap(*pair)] == []
    assert [pair for pair in pairwise(seen["blocks"]) if _overlap(*pair)] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_legible(page: browser.Page, scheme: str) -> None:
    page.show(1280, 900, dark=scheme == "dark")
    texts = page.value(_COLOURS)
    assert len(texts) > 40
    paper = _luminance(page.value("getComputedStyle(document.body).backgroundColor"))
    assert paper < 0.05 if scheme == "dark" else paper > 0.9
    assert [text for text in texts if _contrast(text[1], text[2]) < _CONTRAST] == []


def _within(inner: list[float], outer: list[float]) -> bool:
    near = inner[0] >= outer[0] - 1 and inner[1] >= outer[1] - 1
    return near and inner[2] <= outer[2] + 1 and inner[3] <= outer[3] + 1


def _overlap(one: list[float], other: list[float]) -> bool:
    """Whether two boxes share more than an edge."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > 1 and down > 1


def _contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2 of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
