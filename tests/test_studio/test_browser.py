"""The page of the studio in a browser, by keyboard alone, in light and dark, narrow and wide."""

import json
from base64 import b64decode

import pytest

from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run, TraceStore
from tests.test_studio.browsers import browser
from tests.test_studio.studios import TOKEN, folder, opened

VIEWS = ("write", "try", "compile", "runs", "compare", "rows")
PHOTO = "pipeline seen(photo: image, note: str) -> str { return note }"
NAME = "a_name_" * 20
LONG = f'generate {NAME}(in_{NAME}: str) -> str {{ """A.""" }}'
DOT = (  # a PNG of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
MOST_MS = 60_000  # a limit for slow machines; a page takes a second


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A browser, a studio, and what the pages complained of."""
    work = folder(tmp_path_factory.mktemp("browser"))
    for name, score in (("one", 0), ("two", 1)):
        line = {"id": "a", "score": score, "pred": name, "error": None, "calls": 1, "tokens": 2}
        (work / f"{name}.results.jsonl").write_text(json.dumps(line) + "\n")
    (work / "photo.lmp").write_text(PHOTO)
    (work / "long.lmp").write_text(LONG)
    (work / ".lmc").mkdir()
    store = TraceStore(f"sqlite:///{work}/.lmc/traces.db")
    call = CallTrace((1, 1), "/", "ask", "generate", {"question": "is it 3?"}, result="it is three")
    values = {"question": "is it 3?"}
    store.add(
        [Run("job", "desk.lmp", "twice", "s", "r", "d", values, Trace([call]), pred="end")], {}
    )
    store.close()
    with browser() as chromium, opened(work) as (_, client):
        yield work, chromium, str(client.base_url)


def page_of(place, scheme="light", width=1280, height=800):
    """A page with the token in its address; what it complains of goes to `complaints`."""
    context = place[1].new_context(color_scheme=scheme, viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(MOST_MS)
    page.complaints = []
    page.on("pageerror", lambda problem: page.complaints.append(str(problem)))
    page.on("requestfailed", lambda sent: page.complaints.extend(lost(sent)))
    page.on("console", lambda said: page.complaints.extend(complaint(said)))
    page.goto(f"{place[2]}/#token={TOKEN}")
    page.wait_for_selector(".prompts > *")
    return page


def lost(sent) -> list[str]:
    """A request that failed. A stream that was read to its end counts as left (ERR_ABORTED)."""
    streams = ("/api/try", "/api/test", "/api/compare")
    if sent.url.endswith(streams) and sent.failure == "net::ERR_ABORTED":
        return []
    return [f"{sent.url} {sent.failure}"]


def complaint(said) -> list[str]:
    """What the console says of an error.

    A text that has a mistake by the time that its prompt is asked for is refused (422), which is
    no fault.
    """
    fault = said.type == "error" and "status of 422" not in said.text
    return [said.text] if fault else []


def test_by_keyboard_alone(place) -> None:
    """Write, mend a mistake, try it, look into the graph, edit a row, compare: without a mouse."""
    work = place[0]
    page = page_of(place)
    keys = page.keyboard
    assert "token" not in page.url

    reach(page, ".editor textarea")
    keys.press("Control+Home")
    for _ in range(7):
        keys.press("ArrowDown")
    keys.press("End")
    keys.press("Control+Shift+ArrowLeft")  # the line is `return Answer(words=upper(…), loud=loud)`
    keys.press("End")
    keys.type("  # said")
    page.wait_for_selector("text=not saved")
    keys.press("Control+Home")
    keys.type("oops\n")
    page.wait_for_selector(".findings .error")
    keys.press("F8")
    assert page.evaluate("getSelection().toString()").startswith("oops")
    for _ in range(5):  # undoing works as in any text area
        if page.evaluate("document.querySelector('.editor textarea').value").startswith("record"):
            break
        keys.press("Control+z")
    page.wait_for_selector("text=nothing is wrong")
    keys.press("Control+s")
    page.wait_for_selector("#told:has-text('saved desk.lmp')")
    assert "loud=loud)  # said" in (work / "desk.lmp").read_text()

    reach(page, "button:has-text('Run tests')", back=True)
    keys.press("Enter")
    page.wait_for_selector("text=/^1 test passed, 0 failed$/")
    reach(page, ".editor textarea")

    keys.press("Tab")
    assert focused(page) == "TEXTAREA"  # Tab indents …
    keys.press("Control+z")
    keys.press("Escape")
    keys.press("Tab")
    assert focused(page) != "TEXTAREA"  # … and Esc lets it leave

    reach(page, "nav a[data-view=try]")
    keys.press("Enter")
    page.wait_for_selector(".graph [data-box]")
    reach(page, ".form textarea")
    keys.type("Hello there")
    keys.press("Control+Enter")
    page.wait_for_selector(".result h3:has-text('Result') >> visible=true")
    page.wait_for_selector(".result >> text=HELLO THERE")
    page.wait_for_selector(".graph .value >> text=Hello there")
    reach(page, ".graph [data-box]")
    keys.press("Enter")
    page.wait_for_selector(".detail >> text=Hello there")

    reach(page, "nav a[data-view=rows]", back=True)
    keys.press("Enter")
    page.wait_for_selector("main td")
    page.select_option("label:has-text('file') select", "rows.jsonl")
    page.wait_for_selector("td >> text=IS IT 0?")
    reach(page, "button[aria-label='edit row 2']")
    keys.press("Enter")
    page.wait_for_selector("dialog[open]")
    keys.press("Control+a")
    keys.type("who is it?")
    reach(page, "dialog button.primary")
    keys.press("Enter")
    page.wait_for_selector(".changed >> text=who is it?")
    reach(page, "button:has-text('Save as a new file')", back=True)
    keys.press("Enter")
    page.wait_for_selector("#told:has-text('rows-edited.jsonl')")
    assert json.loads((work / "rows-edited.jsonl").read_text().splitlines()[1])["question"] == (
        "who is it?"
    )
    assert page.complaints == []
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_every_view_fits_and_can_be_read(place, scheme, width) -> None:
    page = page_of(place, scheme, width)
    for view in VIEWS:
        page.evaluate("view => { location.hash = `#/${view}`; }", view)
        page.wait_for_selector(f"nav a[data-view={view}][aria-current]")
        page.wait_for_selector("main .panel, main .empty")
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view
        assert page.evaluate(UNNAMED) == [], view
        assert page.evaluate(FAINT) == [], view
    assert page.complaints == []
    page.context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_fits(place, width) -> None:
    page = page_of(place, width=width)
    page.select_option("nav select", "long.lmp")
    page.wait_for_selector(f".prompts >> text={NAME}")
    for view, shown in (("write", ".prompts"), ("try", ".form")):
        page.evaluate("view => { location.hash = `#/${view}`; }", view)
        page.wait_for_selector(f"{shown} >> text={NAME} >> visible=true")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view
    page.context.close()


def test_a_picture_is_an_input(place, tmp_path) -> None:
    (tmp_path / "dot.png").write_bytes(b64decode(DOT))
    page = page_of(place)
    page.select_option("#file", "photo.lmp")
    page.click("nav a[data-view=try]")
    page.set_input_files(".form input[type=file]", tmp_path / "dot.png")
    page.wait_for_selector(".media img >> visible=true")
    page.fill(".form textarea", "a dot")
    page.click("button.primary:has-text('Run') >> visible=true")
    page.wait_for_selector(".result >> text=a dot")
    page.wait_for_selector(".graph .value >> text=data:image/png")
    assert page.complaints == []
    page.context.close()


def test_a_stored_run_is_shown_in_the_graph(place) -> None:
    page = page_of(place)
    page.click("nav a[data-view=runs]")
    page.click("button.link:has-text('job')")
    page.click(".opener")
    page.wait_for_selector(".run summary >> text=desk.lmp as it is now")
    page.wait_for_selector(".run .graph .value >> text=it is three")
    page.click(".run .graph [data-box]:has-text('it is three')")
    page.wait_for_selector(".run .detail .call >> text=is it 3?")
    assert page.complaints == []
    page.context.close()


def test_results_are_compared_and_losses_can_be_chosen(place) -> None:
    page = page_of(place)
    page.click("nav a[data-view=compare]")
    page.select_option("label:has-text('before') select", "two.results.jsonl")
    page.select_option("label:has-text('after') select", "one.results.jsonl")
    page.click("button.primary:has-text('Compare')")
    page.wait_for_selector(".verdict >> text=0 won, 1 lost")
    page.select_option("label:has-text('show') select", "won")
    page.wait_for_selector("text=No row fits.")
    page.select_option("label:has-text('show') select", "lost")
    page.click(".opener")
    page.wait_for_selector("tr.opened >> text=two")
    assert page.complaints == []
    page.context.close()


def test_without_the_token_it_says_what_to_do(place) -> None:
    context = place[1].new_context()
    page = context.new_page()
    page.set_default_timeout(MOST_MS)
    page.goto(place[2])
    page.wait_for_selector("text=This studio is yours alone.")
    page.fill("input[aria-label=Token]", f"{place[2]}/#token={TOKEN}")
    page.keyboard.press("Enter")
    page.wait_for_selector(".prompts > *")
    context.close()


def focused(page) -> str:
    return page.evaluate("document.activeElement.tagName")


def reach(page, selector: str, *, back: bool = False) -> None:
    """Press Tab until something has the focus."""
    for _ in range(120):
        if page.evaluate(
            "s => document.activeElement?.matches(s) ?? false", selector.split(":has-text")[0]
        ):
            wanted = selector.partition(":has-text('")[2].removesuffix("')")
            if wanted in page.evaluate("document.activeElement.textContent"):
                return
        if page.evaluate("document.activeElement?.matches('.editor textarea') ?? false"):
            page.keyboard.press("Escape")
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"Tab does not reach {selector}")


# Controls that a screen reader could not name.
UNNAMED = """() => [...document.querySelectorAll('button, select, input, textarea, a')]
  .filter((one) => one.offsetParent)
  .filter((one) => !one.labels?.length && !one.getAttribute('aria-label'))
  .filter((one) => !one.textContent.trim())
  .map((one) => one.outerHTML)"""

# Texts with less contrast than 4.5 to 1 (WCAG 2.2, 1.4.3), but for disabled controls.
FAINT = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const found = parts(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const one of document.querySelectorAll('main *, header *')) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const rect = one.getBoundingClientRect();
    if (!own || !rect.width || one.disabled) continue;
    if (one.closest('svg, option, .marks, [hidden], .old')) continue;
    if (one.matches('.editor textarea')) continue;  // its text is drawn behind it, in colours
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${one.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return found;
}"""
