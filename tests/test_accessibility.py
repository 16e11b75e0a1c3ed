"""The report and the site in a real browser: axe-core finds nothing, and no page is wider than the window.

axe-core checks contrasts, names, landmarks and what the keyboard reaches: https://github.com/dequelabs/axe-core.
"""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.runs import realistic
from tvm_bench.report.content import content
from tvm_bench.report.html_page import html

# As root, Chromium starts only without its sandbox; the others keep it from asking the network for updates.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
WINDOWS = [(width, scheme) for width in (1400, 420) for scheme in ("light", "dark")]
# Looked at in all windows; the other pages in the first one.
KINDS = ("site", "results/zoo", "tutorials/int8-by-hand", "reference/python")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make browser")
    if not (chromium := shutil.which("chromium")):
        pytest.skip("Chromium is not installed: make browser")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield opened
        opened.close()


def faults(browser, path, window):
    """What axe-core finds, and the pixels by which the page is too wide."""
    from axe_playwright_python.sync_playwright import Axe

    width, scheme = window
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(path.as_uri())
    found = [f"{fault['id']}: {fault['nodes'][0]['html'][:200]}" for fault in Axe().run(page).response["violations"]]
    extra = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.close()
    return found + ([f"{extra} pixels too wide"] if extra else [])


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
def test_the_report_is_for_everybody(browser, tmp_path, window):
    path = tmp_path / "report.html"
    path.write_text(html(content(realistic())))
    assert not faults(browser, path, window)


@pytest.mark.slow
def test_a_fault_is_found(browser, tmp_path):
    path = tmp_path / "faulty.html"
    path.write_text("<html><img src='x.png'><p style='color: #eee; width: 2000px'>pale</p></html>")
    found = " ".join(faults(browser, path, WINDOWS[0]))
    assert "image-alt" in found and "color-contrast" in found and "pixels too wide" in found


@pytest.mark.slow
def test_the_site_is_for_everybody(browser, tmp_path):
    subprocess.run([sys.executable, "-m", "sphinx", "--quiet", ROOT / "docs", tmp_path], check=True)
    pages = {str(page.relative_to(tmp_path).with_suffix("")): page for page in sorted(tmp_path.rglob("*.html"))}
    assert pages.keys() >= set(KINDS)
    looked_at = [(name, window) for name in pages for window in (WINDOWS if name in KINDS else WINDOWS[:1])]
    found = {(name, *window): faults(browser, pages[name], window) for name, window in looked_at}
    assert not {where: what for where, what in found.items() if what}
