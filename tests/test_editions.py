"""For a class: agendas name what is there; slides, notebooks to fill in and bundle are whole."""

import copy
import importlib.util
import os
import re
import subprocess
import sys
import zipfile

import nbformat
import nbstripout
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from test_site import AS_IT_IS, BOOK, OF_THE_THEME, SITE, address, browser, visit  # noqa: F401

SPEC = importlib.util.spec_from_file_location("editions", BOOK / "editions.py")
editions = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(editions)

PAGES = sorted(path.stem for path in BOOK.glob("*.ipynb"))
DECK = yaml.safe_load((BOOK / "slides.yml").read_text(encoding="utf-8"))["slides"]
TEACHING = (BOOK / "teaching.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
every_page = pytest.mark.parametrize("name", PAGES)


def cells_of(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT).cells


# Agendas


def agenda(title):
    """The rows of one agenda: minutes, page, what they do, what to ask."""
    section = TEACHING.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize(
    ("title", "minutes"), [("90 minutes", 90), ("Half a day", 210), ("A day", 360)]
)
def test_minutes_add_up_and_long_classes_have_coffee(title, minutes):
    rows = agenda(title)
    assert sum(int(row[0]) for row in rows if row[0] != "–") == minutes
    assert minutes < 120 or "coffee" in [row[1] for row in rows]


@pytest.mark.parametrize("title", ["90 minutes", "Half a day", "A day"])
def test_agendas_name_headings_and_exercises_that_exist(title):
    for _, page, task, _ in agenda(title):
        for link in LINK.findall(page):
            text = (BOOK / link).read_text(encoding="utf-8")
            for heading in re.findall(r"[Uu]p to \*([^*]+)\*", task):
                assert f'"## {heading}' in text, f"{link}: {heading}"
            for number in re.findall(r"Exercises? (\d)", task):
                assert f"### Exercise {number}" in text, f"{link}: exercise {number}"


def test_the_run_time_of_each_page_taught_is_measured():
    linked = {link.removesuffix(".ipynb") for link in LINK.findall(TEACHING) if "ipynb" in link}
    spans = re.findall(r'<span class="page-cost" data-page="(\w+)">', TEACHING)
    assert linked <= set(spans) and set(spans) <= set(PAGES)


def test_slides_follow_the_agenda_of_90_minutes():
    parts = list(dict.fromkeys(entry["title"] for entry in DECK))
    assert parts == [
        name for row in agenda("90 minutes") for name in re.findall(r"\[(\w+)\]", row[1])
    ]


# Notebooks for students


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return editions.make_student(tmp_path_factory.mktemp("student") / "notebooks")


@every_page
def test_students_have_room_to_answer_in_place_of_each_solution(student, name):
    cells = cells_of(student / f"{name}.ipynb")
    assert not [cell.source for cell in cells if "solutions/" in cell.source]
    asked = [i for i, cell in enumerate(cells) if "### Exercise " in cell.source]
    assert len(asked) == 2
    for i in asked:
        words, code = cells[i + 1 : i + 3]
        assert (words.cell_type, words.source) == ("markdown", "**Your answer:**")
        assert (code.cell_type, code.source) == ("code", "")


@every_page
def test_nothing_else_changes_for_students(student, name):
    before, after = cells_of(BOOK / f"{name}.ipynb"), cells_of(student / f"{name}.ipynb")
    for kind in ("markdown", "code"):
        old, new = (
            "\n".join(c.source for c in cells if c.cell_type == kind) for cells in (before, after)
        )
        old = "\n".join(line for line in old.splitlines() if "(solutions/" not in line)
        assert new.replace("**Your answer:**", "").split() == old.split()


@every_page
def test_notebooks_for_students_are_valid_and_clean(student, name):
    notebook = nbformat.read(student / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)
    stripped = nbstripout.strip_output(copy.deepcopy(notebook), False, False, keep_id=True)
    assert stripped == notebook


def test_links_of_the_notebooks_for_students_lead_to_files(student):
    texts = [*student.glob("*.ipynb"), *student.glob("*.md")]
    links = [
        (path.name, link)
        for path in texts
        for link in LINK.findall(path.read_text(encoding="utf-8"))
    ]
    gone = [found for found in links if not (student / found[1]).is_file()]
    assert len(links) > 100 and not gone, gone
    assert not (student / "solutions").exists() and not (student / "teaching.md").exists()
    assert len((student / "README.md").read_text(encoding="utf-8").splitlines()) == 5


# Slides


@pytest.fixture
def slides(browser):  # noqa: F811
    """The slides in a browser, opened as a file; `asked` lists all that the page asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
    assert (SITE / "slides.html").is_file(), "there are no slides: run make book"
    page.goto((SITE / "slides.html").as_uri())
    yield page
    page.close()


def shown(page):
    """Numbers of the slides that can be seen."""
    return page.evaluate("[...document.querySelectorAll('.slide:not([hidden])')].map(e => +e.id)")


def test_slides_are_headline_figure_and_question_and_need_nothing_from_outside(slides):
    assert slides.locator(".slide").count() == len(DECK) >= 15
    for entry, slide in zip(DECK, slides.locator(".slide").all(), strict=True):
        image = slide.locator("img")
        assert image.count() == 1 and len(image.get_attribute("alt")) >= 20
        assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 200
        for place in ("h2", "figcaption", ".questions"):
            assert len(slide.locator(place).text_content().strip()) > 5, entry["figure"]
        assert "?" in slide.locator(".questions").text_content()
    outside = [url for url in slides.asked if not url.startswith(("data:", "file:"))]
    assert not outside and not slides.errors
    assert [url for url in slides.asked if url.startswith("file:")] == [slides.url.split("#")[0]]


def test_keys_clicks_and_the_line_move_through_the_slides(slides):
    last = len(DECK)
    keys = {"ArrowRight": 2, " ": 3, "ArrowLeft": 2, "PageDown": 3, "Shift+ ": 2, "End": last}
    for key, expected in (keys | {"PageUp": last - 1, "Home": 1}).items():
        slides.keyboard.press(key)
        assert shown(slides) == [expected], key
        assert slides.evaluate("document.activeElement.id") == str(expected)
        assert slides.get_by_role("progressbar").get_attribute("aria-valuenow") == str(expected)
    slides.keyboard.press("ArrowLeft")
    assert shown(slides) == [1]
    slides.locator(".slide:not([hidden]) h2").click()
    slides.get_by_role("button", name="next").click()
    assert shown(slides) == [3]
    slides.reload()
    assert shown(slides) == [3]


def test_notes_are_shown_on_demand(slides):
    note = slides.locator(".slide:not([hidden]) .notes")
    assert not note.is_visible()
    slides.keyboard.press("n")
    assert note.is_visible() and len(note.text_content()) > 40
    slides.keyboard.press("n")
    assert not note.is_visible()


def test_a_second_window_shows_notes_and_goes_along(slides):
    with slides.context.expect_page() as opened:
        slides.keyboard.press("w")
    speaker = opened.value
    speaker.wait_for_selector("body.one")  # at first the window is blank
    for window, key, expected in ((slides, "ArrowRight", [2]), (speaker, "End", [len(DECK)])):
        window.keyboard.press(key)
        for one in (slides, speaker):
            one.wait_for_function("n => !document.getElementById(n).hidden", arg=str(expected[0]))
            assert shown(one) == expected
    assert speaker.locator(".slide:not([hidden]) .notes").is_visible()
    assert not slides.locator(".slide:not([hidden]) .notes").is_visible()
    speaker.close()


def test_after_a_click_on_notes_the_space_key_goes_on(slides):
    button = slides.get_by_role("button", name="notes")
    button.click()
    slides.keyboard.press(" ")
    assert shown(slides) == [2] and button.get_attribute("aria-pressed") == "true"


def test_a_caption_of_the_deck_stands_in_the_place_of_the_page_s(slides):
    own = [(n, entry) for n, entry in enumerate(DECK, start=1) if "caption" in entry]
    assert len(own) > 3
    for number, entry in own:
        words = slides.locator(f"[id='{number}'] figcaption").text_content()
        assert words.split()[:3] == entry["caption"].split()[:3]


@pytest.mark.parametrize("width", [1280, 390])
def test_slides_shut_nobody_out_and_fit_the_screen(slides, width):
    slides.set_viewport_size({"width": width, "height": 720})
    slides.keyboard.press("n")
    for _ in DECK:
        assert slides.evaluate("document.documentElement.scrollWidth") <= width
        slides.keyboard.press("ArrowRight")
    slides.evaluate("document.querySelectorAll('.slide').forEach(e => e.hidden = false)")
    slides.evaluate("document.body.classList.remove('one')")  # axe-core sees all of them at once
    found = Axe().run(slides, options=AS_IT_IS).response["violations"]
    assert {one["id"] for one in found} <= OF_THE_THEME, found


def test_slides_as_part_of_the_site(browser, address):  # noqa: F811
    seen = visit(browser, address, "slides")
    assert not seen["errors"] and not seen["outside"] and not seen["broken"]
    found = [one["id"] for place in ("desk", "phone") for one in seen[f"{place} findings"]]
    assert set(found) <= OF_THE_THEME
    for page, figure in re.findall(r"(\w+)\.html#([\w-]+)", " ".join(seen["links"])):
        assert f'id="{figure}"' in (SITE / f"{page}.html").read_text(encoding="utf-8")


def test_slides_print_one_a_page_and_stand_in_a_row_without_scripts(slides, browser):  # noqa: F811
    pdf = slides.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b", pdf)) == len(DECK)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((SITE / "slides.html").as_uri())
    assert all(image.is_visible() for image in page.locator("img").all())
    context.close()


def test_a_figure_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="slide 3 wants fig-none.*make book.*slides.yml"):
        editions.slide(3, DECK[0] | {"figure": "fig-none"}, {})


# Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    assert (SITE / "index.html").exists(), "the book is not built: run make book"
    path = editions.make_bundle(tmp_path_factory.mktemp("bundle"))
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_bundle_holds_all_that_a_room_without_network_needs(bundle):
    root = f"rvae-stem-book-{editions.version()}"
    names = bundle.namelist()
    assert all(name.startswith(f"{root}/") for name in names)
    inside = {name.removeprefix(f"{root}/") for name in names}
    assert {"README.txt", "packages.txt", "LICENSE", "LICENSE-text"} <= inside
    assert {"site/index.html", "site/slides.html", "notebooks/teaching.md"} <= inside
    for name in PAGES:
        pages = {f"site/{name}.html", f"student/{name}.ipynb", f"notebooks/{name}.ipynb"}
        assert pages | {f"notebooks/solutions/{name}.ipynb"} <= inside
    assert not [name for name in inside if name.startswith("student/solutions")]
    registry = (BOOK.parent / "data" / "registry.txt").read_text(encoding="utf-8").splitlines()
    of_others = {row.split()[0] for row in registry if len(row.split()) == 3 and row[0] != "#"}
    assert of_others and not [name for name in inside if name.split("/")[-1] in of_others]


def test_bundle_is_in_order_and_without_dates(bundle):
    assert bundle.namelist() == sorted(bundle.namelist())
    assert {entry.date_time for entry in bundle.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert bundle.testzip() is None


def read_text(bundle, name):
    return bundle.read(f"rvae-stem-book-{editions.version()}/{name}").decode()


def test_bundle_says_in_five_steps_how_to_install_it(bundle):
    text = read_text(bundle, "README.txt")
    assert re.findall(r"^(\d)\. ", text, re.MULTILINE) == list("12345")
    assert all(system in text for system in ("Windows", "macOS", "Linux"))
    wheels = {name.split("/")[-1] for name in bundle.namelist() if name.endswith(".whl")}
    assert set(re.findall(r"[\w.-]+\.whl", text)) == wheels
    packages = read_text(bundle, "packages.txt").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", line) for line in packages), packages
    assert {"torch", "hyperspy", "jupyterlab"} <= {line.split("==")[0] for line in packages}


def test_wheel_of_the_bundle_imports_and_holds_the_data(bundle, tmp_path):
    [wheel] = [name for name in bundle.namelist() if name.endswith(".whl")]
    installed = tmp_path / "installed"
    with zipfile.ZipFile(bundle.extract(wheel, tmp_path)) as opened:
        opened.extractall(installed)
    code = "import helpers; print(helpers.fetch('sr3fe2o7_stack.hspy'))"
    variables = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
