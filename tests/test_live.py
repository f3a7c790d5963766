"""Widgets in a real JupyterLab: a slider moved in the browser is drawn anew by Python."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError, expect
from test_site import BOOK, PLAYED, browser  # noqa: F401

ANSWER_MS = 30_000  # a computer may be slow, and busy
PAGE_MS = 600_000  # all cells of a page
expect.set_options(timeout=ANSWER_MS)

CELL = """
import matplotlib.pyplot as plt
from helpers.figures.player import Player

def draw(size):
    figure, ax = plt.subplots(figsize=(3, 2))
    ax.plot([0, size])
    return figure

player = Player(draw, range(16, 40, 2), name="window (px)", alt="a window of {} px")
player
"""

PICKER = """
import numpy as np
from helpers.figures.picker import WindowPicker
from helpers.simulate.lattices import render_columns

places = 10.0 + 12 * np.stack(np.mgrid[:18, :18], axis=-1).reshape(-1, 2)
image = render_columns((230, 230), places, np.ones(len(places)), 2.0) + 0.3
image = np.random.default_rng(0).poisson(20 * image).astype(float)
picker = WindowPicker(image, places, sizes_px=[12, 20, 30])
picker
"""


def notebook(*sources: str) -> str:
    cells = [
        {"cell_type": "code", "id": f"live-{i}", "metadata": {}, "source": source,
         "execution_count": None, "outputs": []}
        for i, source in enumerate(sources)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4}
    return json.dumps(about | {"nbformat_minor": 5})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of this environment, in an empty folder."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "live.ipynb").write_text(notebook(CELL, "print('now', player.index)"))
    (folder / "picker.ipynb").write_text(notebook(PICKER))
    shutil.copy(BOOK / f"{PLAYED[0]}.ipynb", folder)
    settings = folder.parent / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)  # show all cells, not only those in view
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--notebook-dir={folder}"]
    log = folder.parent / "lab.log"
    with_settings = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(folder.parent / "settings")}
    started = {"cwd": folder, "env": with_settings}
    with log.open("w") as file, subprocess.Popen(command, stderr=file, **started) as server:
        address, end = None, time.monotonic() + 60
        while not address and time.monotonic() < end:
            time.sleep(0.2)
            address = re.search(r"http://(?:127\.0\.0\.1|localhost):\d+/", log.read_text())
        assert address, f"JupyterLab did not start: {log.read_text()}"
        yield address.group()
        server.terminate()


def open_notebook(browser, address: str):  # noqa: F811
    """The page of a notebook whose kernel is ready."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.get_by_text("(ipykernel) | Idle").wait_for(timeout=2 * ANSWER_MS)
    return page


def run_first_cell(browser, address: str, text: str):  # noqa: F811
    """Open a notebook and run its first cell; the page, the slider and the picture it shows."""
    page = open_notebook(browser, address)
    slider = page.get_by_role("slider", name="window (px)")
    for _ in range(3):  # JupyterLab may redraw the notebook under the first press
        page.get_by_text(text).first.click(timeout=2 * ANSWER_MS)
        page.keyboard.press("Shift+Enter")
        with suppress(TimeoutError):
            slider.wait_for(timeout=ANSWER_MS)
            break
    return page, slider, page.locator("img[data-index]")


def test_a_player_asks_python_for_each_picture(lab, browser):  # noqa: F811
    address = f"{lab}lab/tree/live.ipynb?reset"
    page, slider, image = run_first_cell(browser, address, "player = Player")
    expect(image).to_have_attribute("alt", "a window of 16 px")
    before = image.get_attribute("src")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    expect(image).to_have_attribute("alt", "a window of 20 px")
    expect(image).not_to_have_attribute("src", before)
    assert image.evaluate("element => element.decode().then(() => element.naturalWidth)") > 0
    page.get_by_text("print('now'").first.click()
    page.keyboard.press("Shift+Enter")
    page.get_by_text("now 2").wait_for(timeout=ANSWER_MS)
    page.close()


def test_the_window_picker_moves_and_trains(lab, browser):  # noqa: F811
    address = f"{lab}lab/tree/picker.ipynb?reset"
    page, slider, picture = run_first_cell(browser, address, "picker = WindowPicker")
    for act in (
        lambda: slider.press("Home"),
        lambda: picture.click(position={"x": 60, "y": 200}),
    ):
        before = picture.get_attribute("src")
        act()
        expect(picture).not_to_have_attribute("src", before)
    expect(picture).to_have_attribute("alt", re.compile("window of 12 px"))
    page.get_by_role("button", name="train at this size").click()
    maps = page.get_by_alt_text("Maps of the angle")
    maps.wait_for(timeout=2 * ANSWER_MS)
    assert maps.evaluate("element => element.decode().then(() => element.naturalWidth)") > 0
    expect(page.get_by_role("status").filter(has_text="trained at 12 px")).to_be_visible()
    page.close()


def test_the_players_of_a_page_are_alive(lab, browser):  # noqa: F811
    """Of one page: those of the others are of the same making, and play in `test_site` as well."""
    name = PLAYED[0]
    page = open_notebook(browser, f"{lab}lab/tree/{name}.ipynb?reset")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.get_by_text("This page ran in").wait_for(timeout=PAGE_MS)
    rows = page.locator("div:has(> button[aria-label^='play'])")
    assert rows.count() >= 1
    for row in rows.all():
        slider, picture = row.get_by_role("slider"), row.locator("xpath=..").locator("img").first
        for key in ("End", "Home"):
            before = picture.get_attribute("src")
            slider.press(key)
            expect(picture).not_to_have_attribute("src", before)
    page.close()
