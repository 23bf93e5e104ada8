"""report.html in a real browser: what the filters show, that hostile content is inert."""

import doctest
import importlib
import itertools
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from typing import NamedTuple

import pytest
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from ner_components.evaluation import report_html, report_tables, report_texts
from ner_components.evaluation.compare import make_documents, make_report
from ner_components.evaluation.compare_figures import Question
from ner_components.evaluation.costs import Costs
from ner_components.evaluation.report_html import render, write_html
from ner_components.evaluation.report_tables import Cell
from ner_components.evaluation.runs import Run

CHROMIUM = shutil.which("chromium")
ARGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
VOCAB = Vocab()
HOSTILE = "<img src=x onerror=canary()>"
SHIFT = "<b>'\"&shift</script>\u202e"
ATTACK = "</script><script>canary()</script> <!-- \u2028\u2029 "
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200"><rect width="400" height="200" style="fill: {}"/></svg>'

# id, tags, genre, gold, and what each system finds in it.
ROWS = [
    ("a1", ["boundary"], "news", "[Ada|PERSON] joined [Acme Corp|ORG].", "=", "[Ada|ORG] joined [Acme Corp|ORG].", "[Ada|PERSON] joined [Acme|ORG] Corp."),
    ("a2", ["boundary", "emoji"], "web", "🎉 [Zoë|PERSON] 👩‍👩‍👧 met [Bo|PERSON]", "=", "=", "🎉 [Zoë|PERSON] 👩‍👩‍👧 met Bo"),
    ("a3", ["rtl"], "news", "[דנה|PERSON] גרה ב[חיפה|LOC]", "=", "[דנה|PERSON] גרה ב[חיפה|ORG]", "דנה גרה בחיפה"),
    ("a4", [], "web", "", "=", "=", "="),
    ("a5", [], "news", "Nothing here\nat all.", "=", "[Nothing|ORG] here\nat all.", "="),
    ("a6", ["hostile"], "", f"{ATTACK}[Eve|{HOSTILE}]", "=", "=", f"{ATTACK}E[ve|PERSON]"),
    ("a7", [], "news", "[Rome|LOC] fell", "Rome fell", "[Rome|ORG] fell", "Rome fell"),
]  # fmt: skip
SYSTEMS = ("exact", "swap", SHIFT)


class Plot(NamedTuple):
    title: str
    description: str
    light: str
    dark: str
    png: bytes = b""


PLOTS = {
    name: Plot(f"Plot {name}", f"Figures of {name}: a < b.", SVG.format("#fff"), SVG.format("#111"))
    for name in ("f1_latency", "error_classes", "calibration", "per_label")
}  # fmt: skip


def make_doc(marked, **user_data):
    """Every character is a token, so that every span is one."""
    text, spans = "", []
    for part in re.split(r"(\[.+?\|.+?\])", marked):
        if part.startswith("["):
            surface, label = part[1:-1].split("|")
            spans.append((len(text), len(text) + len(surface), label))
            text += surface
        else:
            text += part
    doc = Doc(VOCAB, words=list(text), spaces=[False] * len(text), user_data=user_data)
    doc.ents = [Span(doc, i, j, label=label) for i, j, label in spans]
    assert doc.text == text
    return doc


def make_run(name, docs, **settings):
    latency = {"p50": 4.0, "p95": 9.5, "p99": 1234.5, "mean": 5.0, "documents": 3}
    speed = {
        "words_per_second": 4321.0,
        "documents_per_second": 10.0,
        "documents": 3,
        "seconds": 0.3,
    }
    meta = {"lang": "en", "name": "x", "version": "1.0.0", "license": "MIT"}
    return Run(name, f"folder-{name}", factories={"ner": "ner"}, meta=meta, latency_ms=latency, throughput=speed, peak_memory_mb=512.0, docs=docs, **settings)  # fmt: skip


def make_all(rows=ROWS, costs=None):
    gold = [make_doc(x[3], id=x[0], tags=x[1], genre=x[2]) for x in rows]
    runs = []
    for i, name in enumerate(SYSTEMS):
        docs = [make_doc(x[3] if x[4 + i] == "=" else x[4 + i]) for x in rows]
        runs.append(make_run(name, docs))
    runs[2].failures = [{"document": 2, "error": "ValueError"}]
    runs[1].threshold = {
        "value": 0.4,
        "chosen_on": "dev.spacy",
        "dev_f": 0.8,
        "dev_f_before": 0.75,
    }
    runs[0].mapping = {"file": "map.json", "unmapped": {HOSTILE: 2}}
    report = make_report(gold, runs, question=Question(resamples=200, costs=costs))
    report["gold"] |= {"name": "gold.spacy", "sha256": "0" * 64}
    report["failed_systems"] = [{"name": HOSTILE, "source": "x", "error": "OSError"}]
    documents = make_documents(gold, runs)
    documents[4]["systems"]["swap"]["rejected"] = [
        [0, 7, "ORG", "misaligned"],
        [None, None, "<b>", "unknown_label"],
    ]
    documents[0]["systems"]["exact"]["ents"][0][3] = 0.875
    return report, documents


def many(documents, count):
    return [{**documents[i % len(documents)], "id": f"d{i + 1}"} for i in range(count)]


# Without a browser


class Reader(HTMLParser):
    """The tags of a page and what scripts and styles hold, as a browser without scripts sees them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.inside = [], [], ""
        self.data = {"script": [], "style": []}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        self.data.get(self.inside, []).append(data)


@pytest.fixture(scope="module")
def everything():
    return make_all()


@pytest.fixture(scope="module")
def page_text(everything):
    return render(*everything, PLOTS)


def test_nothing_is_inline_and_nothing_is_fetched(page_text):
    found = Reader(page_text)
    names = {name for _, name, _ in found.attributes}
    assert not [x for x in names if x.startswith("on") or x == "style"]
    addresses = [
        (tag, x) for tag, name, x in found.attributes if name in ("src", "href", "srcset")
    ]
    assert {x[:5] for tag, x in addresses if tag in ("img", "source", "link")} == {"data:"}
    assert all(x.startswith("#") for tag, x in addresses if tag == "a")
    assert found.tags.count("script") == 2 == len(found.data["script"])
    assert "img" not in {tag for tag, name, x in found.attributes if x == "x"}
    assert found.tags.count("img") == 3  # no picture of the heat map: the page has a table


def test_policy_names_the_script_and_the_style(page_text):
    found = Reader(page_text)
    (policy,) = [x for tag, _, x in found.attributes if tag == "meta" and "src" in x]
    script, style = found.data["script"][1], found.data["style"][0]
    assert policy == report_html.make_policy(script, style)
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-[\w+/=]{44}'; style-src 'sha256-[\w+/=]{44}'; img-src data:; base-uri 'none'; form-action 'none'",
        policy,
    )


def test_data_comes_back_as_it_was(page_text, everything):
    block = Reader(page_text).data["script"][0]
    assert block.isascii()
    assert not set("<>&") & set(block)
    data = json.loads(block)
    assert [x["text"] for x in data["documents"]] == [x["text"] for x in everything[1]]
    assert data["labels"] == sorted(["LOC", "ORG", "PERSON", HOSTILE, "<b>"])
    assert data["systems"] == list(SYSTEMS)
    assert data["kinds"][6:] == ["not_counted", "unknown_label", "misaligned"]


def test_what_utf8_and_html_have_no_place_for(tmp_path):
    report, documents = make_all()
    report["gold"]["name"] = "a\x00b\ud800c\x9b"
    documents[0]["text"] = "\x00 \ud800 \u2028"
    write_html(tmp_path / "report.html", report, documents, {})
    text = (tmp_path / "report.html").read_text(encoding="utf8")
    assert "a\ufffdb\ufffdc\ufffd" in text
    assert '"text":"\\u0000 \\ud800 \\u2028"' in text
    assert "There are no plots." in text


def test_offsets_are_those_of_javascript(everything):
    text = everything[1][1]["text"]
    offset = report_texts.make_offset(text)
    units = [len(text[:i].encode("utf-16-le")) // 2 for i in range(len(text) + 1)]
    assert [offset(i) for i in range(len(text) + 1)] == units
    assert offset(None) is None
    packed = report_texts.pack_documents(everything[1], SYSTEMS)["documents"][1]
    coded = text.encode("utf-16-le")
    surfaces = [coded[2 * i : 2 * j].decode("utf-16-le") for i, j, _ in packed["gold"]]
    assert surfaces == ["Zoë", "Bo"]


def test_a_system_without_documents_and_odd_scores():
    doc = {"id": "x", "text": "ab", "tags": [], "genre": "", "gold": [], "systems": {}}
    found = {
        "ents": [[0, 1, "A", float("nan")]],
        "failed": None,
        "outcomes": [],
        "rejected": [],
    }
    packed = report_texts.pack_documents(
        [{**doc, "systems": {"one": found}}], ["one", "two"]
    )
    assert packed["documents"][0]["systems"][0]["ents"] == [[0, 1, 0, None]]
    assert packed["documents"][0]["systems"][1] is None


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_tables_hold_the_planted_figures(everything):
    report, _ = everything
    # exact: 7 of 8 found, nothing else. swap: 5 of 8 right, 9 found. shift: 2 of 8 right, 4 found.
    results = report_tables.results_table(report)
    assert [row[:4] for row in texts(results)] == [
        ["exact", "93.3", "100.0", "87.5"],
        ["swap", "58.8", "55.6", "62.5"],
        [SHIFT, "33.3", "50.0", "25.0"],
    ]
    assert results.rows[0][8] == Cell("4", "p95 9.5, p99 1,234", "num")
    assert [row[6].text for row in results.rows] == ["0", "0", "1"]
    assert texts(report_tables.error_table(report)) == [
        ["exact", "7", "0", "0", "0", "1", "0"],
        ["swap", "5", "3", "0", "0", "0", "1"],
        [SHIFT, "2", "0", "1", "1", "4", "0"],
    ]
    labels = report_tables.label_table(report)
    assert texts(labels)[0] == [HOSTILE, "1", "100.0", "100.0", "0.0"]
    assert [x.style for x in labels.rows[0][2:]] == [
        "num heat-10",
        "num heat-10",
        "num heat-0",
    ]
    assert texts(labels)[1] == ["LOC", "2", "66.7", "0.0", "0.0"]


def test_decision_table_says_what_became_of_each(everything):
    report = json.loads(json.dumps(everything[0]))
    decision = report["decision"]
    decision |= {
        "tied": ["exact", "swap"],
        "chosen": "swap",
        "excluded": {SHIFT: ["cost not known"]},
    }
    del decision["p_best"][SHIFT]
    rows = {row[0].text: row for row in report_tables.decision_table(report).rows}
    assert [rows[x][2].text for x in SYSTEMS] == [
        "Tied: not separated from the best",
        "Ship: chosen from the tied",
        "Out: cost not known",
    ]
    assert [rows[x][0].style for x in SYSTEMS] == ["", "chosen", ""]
    assert rows[SHIFT][3].text == "–"
    bars = [x[1].bar for x in rows.values()]
    assert min(x[0] for x in bars) == 0
    assert max(x[2] for x in bars) == 100


def test_costs_have_their_own_columns():
    report, _ = make_all(costs=Costs(default={"missed": 7, "spurious": 70}, unit="<EUR>"))
    # exact misses one of seven documents' entities: 7 / 7 * 1000; swap has one spurious.
    mistakes = [row[-1].text for row in report_tables.results_table(report).rows]
    assert mistakes == ["1,000 <EUR>", "10,000 <EUR>", "4,000 <EUR>"]
    assert (
        report_tables.decision_table(report).head[1]
        == "Cost of mistakes in 1,000 documents, <EUR>"
    )
    assert "<EUR>" not in render(report, [], {})


def test_schema_errors_that_cannot_be_are_not_zero(everything):
    report = json.loads(json.dumps(everything[0]))
    one, two, _ = (x["evaluation"] for x in report["systems"])
    one |= {"schema_error_rate": None, "candidates": {"overlap": 2}}
    two |= {"schema_error_rate": 0.25, "candidates": {"misaligned": 1}}
    assert texts(report_tables.schema_table(report))[:2] == [
        ["exact", "n/a", "n/a", "n/a", "n/a", "2"],
        ["swap", "0", "0", "1", "0", "0"],
    ]


def test_jinja2_missing(monkeypatch, everything):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ImportError, match=r"jinja2 failed: report\.html needs it.*\[eval\]"
    ):
        render(*everything, {})


@pytest.mark.parametrize("name", ["report_html", "report_tables", "report_texts"])
def test_docstrings(name):
    module = importlib.import_module(f"ner_components.evaluation.{name}")
    assert doctest.testmod(module).failed == 0


# In a browser


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS.split())
        yield found
        found.close()


WATCH = """
window.violations = []; window.ran = false; window.canary = () => { window.ran = true; };
addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + e.blockedURI));
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory, page_text):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_text, encoding="utf8")
    return path


@pytest.fixture
def open_page(browser, small):
    """Opens the page, and sees to it at the end that nothing was wrong."""
    problems, pages = [], []

    def open_(path=small, fragment="", **options):
        context = browser.new_context(
            **{"viewport": {"width": 1200, "height": 900}, **options}
        )
        page = context.new_page()
        page.add_init_script(WATCH)
        page.on("console", lambda x: problems.append(x.text))
        page.on("pageerror", lambda x: problems.append(str(x)))
        page.on("dialog", lambda x: problems.append("dialog"))
        page.on(
            "request",
            lambda x: (
                problems.append(x.url) if not x.url.startswith(("file:", "data:")) else None
            ),
        )
        page.goto(f"{path.as_uri()}{fragment}")
        pages.append(page)
        return page

    yield open_
    for page in pages:
        if page.evaluate("typeof violations") != "undefined":
            assert page.evaluate("[violations, ran]") == [[], False]
        page.context.close()
    assert problems == []


def shown(page):
    return [
        int(x)
        for x in page.eval_on_selector_all(
            ".doc", "all => all.map((x) => x.dataset.number)"
        )
    ]


def choose(page, **values):
    for name, value in values.items():
        page.select_option(f"#{name}", label=value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"kind": "any mistake"}, [1, 2, 3, 5, 6, 7]),
        ({"kind": "correct"}, [1, 2, 3, 6]),
        ({"kind": "wrong label"}, [1, 3, 7]),
        ({"kind": "wrong boundary"}, [1]),
        ({"kind": "both wrong"}, [6]),
        ({"kind": "missed"}, [2, 3, 7]),
        ({"kind": "spurious"}, [5]),
        ({"kind": "misaligned"}, [5]),
        ({"kind": "not counted"}, []),
        ({"label": "ORG"}, [1, 3, 5, 7]),
        ({"label": "LOC", "kind": "missed"}, [3, 7]),
        ({"label": "ORG", "kind": "missed"}, []),
        ({"label": HOSTILE}, [6]),
        ({"system": "exact", "kind": "any mistake"}, [7]),
        ({"system": "swap", "kind": "any mistake"}, [1, 3, 5, 7]),
        ({"system": SHIFT, "kind": "any mistake"}, [1, 2, 3, 6, 7]),
        ({"system": SHIFT, "kind": "missed", "label": "PERSON"}, [2, 3]),
        ({"system": "swap", "kind": "missed"}, []),
        ({"tag": "boundary"}, [1, 2]),
        ({"genre": "news"}, [1, 3, 5, 7]),
        ({"genre": "news", "kind": "wrong label", "tag": "rtl"}, [3]),
        ({"differ": "systems differ"}, [1, 2, 3, 5, 6, 7]),
        ({"differ": "some are right, some wrong"}, [1, 2, 3, 5, 6]),
        ({"differ": "some are right, some wrong", "system": "swap", "kind": "any mistake"}, [1, 3, 5]),
    ],
)  # fmt: skip
def test_filters_show_what_they_say(open_page_once, values, expected):
    page = open_page_once
    page.click("#clear")
    choose(page, **values)
    assert shown(page) == expected
    assert page.inner_text("#count").startswith(f"{len(expected)} of 7 documents, ")


@pytest.fixture(scope="module")
def open_page_once(browser, small):
    page = browser.new_page()
    page.goto(small.as_uri())
    yield page
    page.close()


def test_search_failures_and_counts(open_page):
    page = open_page()
    # exact 1, swap 4, shift 6
    assert (
        page.inner_text("#count") == "7 of 7 documents, with 11 mistakes. Here are 1 to 7."
    )
    page.fill("#q", "ACME")
    assert shown(page) == [1]
    page.fill("#q", "a7")
    assert shown(page) == [7]
    page.fill("#q", "<!-- \u2028")
    assert shown(page) == [6]
    page.fill("#q", "nowhere")
    assert page.inner_text("#count") == "0 of 7 documents, with 0 mistakes."
    page.click("#clear")
    page.check("#failed")
    assert shown(page) == [3]
    assert "failed: ValueError" in page.inner_text(".doc")
    choose(page, system="swap")
    assert shown(page) == []
    page.uncheck("#failed")
    assert (
        page.inner_text("#count") == "7 of 7 documents, with 4 mistakes. Here are 1 to 7."
    )
    assert page.locator(".doc").first.locator("h4 bdi").all_inner_texts() == [
        "gold",
        "swap",
    ]


ROW = ".doc[data-number='{}'] .row:nth-of-type({}) .text"


def test_marks_are_where_the_entities_are(open_page):
    page = open_page()

    def read(number, row):
        text = page.locator(ROW.format(number, row))
        marks = text.locator("mark").evaluate_all(
            "all => all.map((x) => [x.firstChild.textContent, x.className.split(' ')[2], x.textContent])"
        )
        plain = text.evaluate(
            "x => { const y = x.cloneNode(true); y.querySelectorAll('small').forEach((z) => z.remove()); return y.textContent; }"
        )
        return plain, marks

    assert read(1, 2) == (
        "Ada joined Acme Corp.",
        [
            ["Ada", "k-correct", "Ada PERSON 0.88"],
            ["Acme Corp", "k-correct", "Acme Corp ORG"],
        ],
    )
    assert read(1, 3)[1][0] == ["Ada", "k-wrong_label", "Ada ORGwrong label, gold PERSON"]
    assert read(1, 4)[1][1] == ["Acme", "k-wrong_boundary", "Acme ORGwrong boundary"]
    assert read(2, 4) == (
        "🎉 Zoë 👩‍👩‍👧 met Bo",
        [["Zoë", "k-correct", "Zoë PERSON"], ["Bo", "k-missed", "Bo PERSONmissed"]],
    )
    assert [x[0] for x in read(3, 1)[1]] == ["דנה", "חיפה"]
    assert read(5, 3) == (
        "Nothing here\nat all.",
        [["Nothing", "k-spurious", "Nothing ORGspurious"]],
    )
    assert read(6, 4)[1] == [["ve", "k-both_wrong", f"ve PERSONboth wrong, gold {HOSTILE}"]]
    assert page.locator(ROW.format(4, 1)).inner_text() == "(empty text)"
    assert page.locator(".doc[data-number='5'] .out li").all_inner_texts() == [
        "misaligned ORG Nothing",
        "unknown label <b>",
    ]
    assert page.locator("#examples h3").all_inner_texts() == [
        "Examples: unknown label",
        "Examples: misaligned",
    ]


def test_texts_keep_direction_and_lines(open_page):
    page = open_page()
    direction = "x => getComputedStyle(x).direction"
    assert [page.locator(ROW.format(i, 1)).evaluate(direction) for i in (1, 3)] == [
        "ltr",
        "rtl",
    ]
    one, two = (page.locator(ROW.format(i, 1)).bounding_box()["height"] for i in (7, 5))
    assert two == pytest.approx(2 * one)


def test_overlap_is_shown_inside_or_cut(open_page, tmp_path, everything):
    report, documents = everything
    doc = {
        **documents[0],
        "text": "New York City Hall",
        "gold": [[0, 8, "LOC"], [0, 13, "ORG"], [9, 18, "PERSON"], [4, 4, "LOC"]],
        "systems": {},
    }
    write_html(tmp_path / "page.html", report, [doc], {})
    page = open_page(tmp_path / "page.html")
    marks = page.locator(".doc mark").evaluate_all(
        "all => all.map((x) => [x.firstChild.textContent, x.lastChild.textContent])"
    )
    assert [x[1] for x in marks] == [" ORG", " LOC", " LOC", " PERSON", " PERSON"]
    assert [x[0] for x in marks[1:]] == ["New  LOCYork", "", "City", " Hall"]
    assert marks[0][0] == "New  LOCYork LOC City PERSON"


def test_hostile_content_is_text(open_page):
    page = open_page()
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("b").count() == 0
    assert HOSTILE in page.inner_text("#label-table")
    assert f"{HOSTILE} could not be run (OSError)" in page.inner_text("#decision")
    assert "\u202e" not in page.inner_text("#decision")  # it would turn what follows
    assert page.locator("#system option").nth(3).inner_text() == SHIFT
    assert (
        page.locator(ROW.format(6, 1))
        .inner_text()
        .startswith("</script><script>canary()</script> <!--")
    )


def test_keyboard_alone(open_page):
    page = open_page()
    number = "document.activeElement.dataset.number"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the decision"
    for key, expected in (("j", "1"), ("j", "2"), ("j", "3"), ("k", "2")):
        page.keyboard.press(key)
        assert page.evaluate(number) == expected
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.url.endswith("#doc=2")
    page.keyboard.press("/")
    page.keyboard.type("jk/?")  # text, not keys
    assert page.input_value("#q") == "jk/?"
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.evaluate("document.getElementById('help').open")
    assert page.locator("#legend mark").count() == 7
    page.keyboard.press("j")
    assert page.evaluate(number) is None
    page.uncheck("#keys")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert not page.evaluate("document.getElementById('help').open")


def test_links_lead_to_filters_and_documents(open_page):
    page = open_page(fragment="#kind=wrong_label&label=LOC&doc=7")
    assert shown(page) == [3, 7]
    assert page.evaluate("document.activeElement.dataset.number") == "7"
    choose(page, tag="rtl")
    assert page.url.endswith("#kind=wrong_label&label=LOC&tag=rtl")
    page.click("#results a[href='#doc=3']")
    page.wait_for_function("document.activeElement.dataset.number === '3'")
    assert len(shown(page)) == 7
    page.click("nav a[href='#labels']")
    assert len(shown(page)) == 7
    page = open_page(fragment="#label=nowhere&q=%3Cb%3E&kind=7&doc=99")
    assert page.input_value("#q") == "<b>"
    assert [page.input_value(x) for x in ("#label", "#kind")] == ["", ""]


def test_without_javascript(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("#statement").is_visible()
    assert page.locator("#results-table").is_visible()
    assert page.locator("#plot-f1_latency img").is_visible()
    assert (
        page.locator("noscript").inner_text()
        == "The 7 documents are shown by a script, and scripts are off."
    )
    assert not page.locator("#app").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_follow_the_scheme(open_page, scheme):
    page = open_page(color_scheme=scheme)
    image = page.locator("#plot-f1_latency img")
    used = report_html._to_address(getattr(PLOTS["f1_latency"], scheme))
    assert image.evaluate(
        "async (x) => { await x.decode(); return [x.currentSrc, x.naturalWidth]; }"
    ) == [used, 400]
    assert image.get_attribute("alt") == "Figures of f1_latency: a < b."


@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_never_scrolls_sideways(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    for x in page.locator("details").all():
        x.evaluate("x => { x.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") == width


# WCAG 2.2, 1.4.3: the ratio of the luminance of text to that of what is behind it.
CONTRAST = """
() => {
  const parse = (x) => { const n = x.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const channel = (x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4);
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = (e) => {
    const layers = [];
    for (let x = e; x; x = x.parentElement) layers.unshift(parse(getComputedStyle(x).backgroundColor));
    return layers.reduce((under, c) => under.map((u, i) => u * (1 - c[3]) + c[i] * c[3]), [255, 255, 255]);
  };
  let least = 21, count = 0, where = "";
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((x) => x.nodeType === 3 && x.textContent.trim());
    if (!own || !e.checkVisibility() || e.matches(":disabled, script, .vh, option")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    count += 1;
    if (ratio < least) { least = ratio; where = e.outerHTML.slice(0, 200); }
  }
  return [least, count, where];
}
"""
PALETTE = """
() => { for (let i = 0; i < 12; i += 1) {
  const mark = document.createElement("mark"); mark.className = `ent c${i}`; mark.textContent = "text";
  document.getElementById("browser").append(mark);
} for (let i = 0; i < 11; i += 1) {
  const cell = document.createElement("p"); cell.className = `heat-${i}`; cell.textContent = "text";
  document.getElementById("browser").append(cell);
} }
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page, scheme):
    page = open_page(color_scheme=scheme)
    page.evaluate(PALETTE)
    for x in page.locator("details").all():
        x.evaluate("x => { x.open = true; }")
    least, count, where = page.evaluate(CONTRAST)
    assert least >= 4.5, where
    assert count > 300


NAMES = """
() => [...document.querySelectorAll("a, button, input, select, summary, [role=region], [role=search], [role=group], nav, dialog, article, section, img")]
  .filter((e) => !(e.textContent.trim() && e.matches("a, button, summary")) && !e.labels?.length && !e.getAttribute("aria-label")
    && !document.getElementById(e.getAttribute("aria-labelledby"))?.textContent.trim() && !e.alt)
  .map((e) => e.outerHTML.slice(0, 100))
"""


def test_screen_readers_find_names_and_order(open_page):
    page = open_page()
    assert page.evaluate(NAMES) == []
    assert page.locator("main").count() == page.locator("h1").count() == 1
    levels = page.eval_on_selector_all(
        "h1, h2, h3, h4", "all => all.map((x) => Number(x.tagName[1]))"
    )
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert page.eval_on_selector_all(
        "table",
        "all => all.every((x) => x.caption && x.querySelector('th[scope=col]') && x.querySelector('th[scope=row]'))",
    )
    ids = page.eval_on_selector_all("[id]", "all => all.map((x) => x.id)")
    assert len(ids) == len(set(ids))
    assert page.get_attribute("html", "lang") == "en"
    assert page.locator("#count[role=status]").count() == 1
    assert page.get_by_role("combobox", name="Difficulty").count() == 1
    assert page.get_by_role("table", name=re.compile("All systems")).count() == 1


def test_five_thousand_documents(open_page, tmp_path, everything):
    report, documents = everything
    write_html(tmp_path / "page.html", report, many(documents, 5000), PLOTS)
    page = open_page(tmp_path / "page.html")
    # 5000 = 714 * 7 + 2: every document 714 times, the first two 715 times.
    assert page.inner_text("#count").startswith("5,000 of 5,000 documents, ")
    assert len(shown(page)) == 10
    choose(page, kind="wrong boundary")
    assert (
        page.inner_text("#count")
        == "715 of 5,000 documents, with 1,430 mistakes. Here are 1 to 10."
    )
    assert shown(page)[:2] == [1, 8]
    assert page.inner_text("#page") == "Page 1 of 72"
    page.click("#next")
    assert shown(page)[0] == 71
    assert page.evaluate("document.activeElement.id") == "next"
    for _ in range(3):
        page.keyboard.press("n")
    assert page.inner_text("#page") == "Page 5 of 72"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.dataset.number") == str(39 * 7 + 1)
    assert page.inner_text("#page") == "Page 4 of 72"
    page.fill("#q", "d4998")
    assert shown(page) == []
    page.click("#clear")
    page.fill("#q", "d4998")
    assert shown(page) == [4998]
    assert page.locator("*").count() < 3000
