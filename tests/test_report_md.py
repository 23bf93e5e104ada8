"""report.md as GitHub would read it, and report.json against its schema."""

import doctest
import json
from importlib.resources import files

import pytest
from planted_report import CANARY, HOSTILE, LABELS, SYSTEMS, planted_report

from ner_components.evaluation import report_md
from ner_components.evaluation.report_md import escape, to_markdown

jsonschema = pytest.importorskip("jsonschema", reason="JSON Schema is checked by it")
MarkdownIt = pytest.importorskip("markdown_it", reason="Markdown is read by it").MarkdownIt
PATH = files("ner_components").joinpath("evaluation/report_schema.json")
SCHEMA = json.loads(PATH.read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def report():
    return planted_report(costs=True, limits={"max_latency": 500.0})


def problems(report):
    """What the schema has against a report, written and read again."""
    data = json.loads(json.dumps(report, allow_nan=False))
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(data)
    return [(list(x.absolute_path), x.validator) for x in found]


def tokens_of(text):
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [
        y for x in reader.parse(text) for y in ([x] if x.type != "inline" else x.children)
    ]


def cells_of(text):
    """The tables, as rows of texts."""
    reader = MarkdownIt("commonmark").enable("table")
    tables = []
    for token in reader.parse(text):
        if token.type == "table_open":
            tables.append([])
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and tables and len(tables[-1]):
            inside = token.level > 2
            if inside:
                tables[-1][-1].append("".join(x.content for x in token.children))
    return tables


def test_the_tables_hold_the_figures_of_the_report(report):
    tables = {x[0][1]: x for x in cells_of(to_markdown(report))}
    decision = tables["mistakes in 1,000 documents, minutes"]
    assert [x[0] for x in decision[1:]] == list(report["decision"]["figures"])
    assert decision[3] == [
        "llm",
        f"{1000 * report['decision']['figures']['llm']['value']:,.0f}",
        decision[3][2],
        "-",
        "-",
        "latency 900 ms above 500 ms",
    ]
    systems = tables["F1"]
    for row, x in zip(systems[1:], report["systems"], strict=True):
        micro = x["evaluation"]["micro"]
        assert row[:4] == [x["name"], *(f"{100 * micro[y]:.1f}" for y in "fpr")]
    assert systems[3][-3:] == ["340,000", "3.2", "0"]
    labels = tables["gold"]
    per_label = report["systems"][0]["evaluation"]["per_label"]
    assert {x[0]: x[2] for x in labels[1:]} == {
        name: f"{100 * score['f']:.1f}" for name, score in per_label.items()
    }
    pairs = [x[:2] for x in tables["second"][1:]]
    assert pairs == [["encoder", "gliner"], ["encoder", "llm"], ["gliner", "llm"]]
    for table in tables.values():
        assert len({len(row) for row in table}) == 1


def test_pictures_have_a_text_and_stand_beside_the_file(report):
    pictures = [x for x in tokens_of(to_markdown(report)) if x.type == "image"]
    names = ["f1_latency", "f1_cost", "per_label", "error_classes", "calibration"]
    assert [x.attrs["src"] for x in pictures] == [
        f"plots/{name}.svg" for name in [*names, "schema_errors"]
    ]
    assert all(len(x.content) > 40 and x.content.endswith(".") for x in pictures)


def test_no_text_of_documents(report):
    assert CANARY not in to_markdown(report) + json.dumps(report)


def test_hostile_names_are_only_text():
    labels = [f"{x}{HOSTILE}" for x in LABELS]
    systems = [(f"{x}{HOSTILE}", *rest) for x, *rest in SYSTEMS]
    report = planted_report(systems, labels, documents=12)
    report["failed_systems"] = [{"name": HOSTILE, "source": "x", "error": "OSError"}]
    report["systems"][0]["mapping"] = {"file": "m.json", "unmapped": {HOSTILE: 2}}
    plain = planted_report(documents=12)
    plain["failed_systems"] = [{"name": "gone", "source": "x", "error": "OSError"}]
    plain["systems"][0]["mapping"] = {"file": "m.json", "unmapped": {"OTHER": 2}}
    found, expected = (tokens_of(to_markdown(x)) for x in (report, plain))
    # The same structure as with harmless names, and no HTML.
    keep = {"text_special", "text"}
    assert [x.type for x in found if x.type not in keep] == [
        x.type for x in expected if x.type not in keep
    ]
    assert not [x for x in found if x.type.startswith("html")]
    shown = HOSTILE
    for sign in ("\u2028", "\x00", "\n"):
        shown = shown.replace(sign, "\ufffd")
    rows = [row[0] for table in cells_of(to_markdown(report)) for row in table]
    assert f"encoder{shown}" in rows
    assert f"ORG{shown}" in rows


@pytest.mark.parametrize(
    "text",
    ["*a*", "_a_", "a_b", "`a`", "[a](b)", "# a", "- a", "1. a", "a|b", "<b>", "&lt;"],
)
def test_escaped_text_reads_as_itself(text):
    tokens = tokens_of(f"x {escape(text)}")
    inner = [x for x in tokens if not x.type.startswith("paragraph")]
    assert "".join(x.content for x in inner) == f"x {text}"
    assert {x.type for x in inner} == {"text"} | {x.type for x in inner} & {"text_special"}


def test_one_system_none_that_qualifies_and_one_that_failed():
    report = planted_report(SYSTEMS[:1], documents=12, limits={"max_latency": 1.0})
    report["failed_systems"] = [{"name": "gone", "source": "x", "error": "OSError"}]
    text = to_markdown(report)
    assert "> No system is within the limits: 1 by latency of 1." in text
    assert "- gone could not be run (OSError)." in text
    assert "There is one system." in text
    assert problems(report) == []


def test_the_schema_holds_every_report(report):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert problems(report) == []
    assert problems(planted_report(SYSTEMS[1:], documents=12)) == []
    empty = planted_report([("plain", 0.0, 1.0, 0.0, False, 0.0)], documents=6)
    empty["systems"][0]["latency_ms"] = empty["systems"][0]["throughput"] = None
    assert problems(empty) == []
    assert to_markdown(empty)


def test_the_schema_is_strict(report):
    data = json.loads(json.dumps(report))
    assert problems({**data, "format": 2}) == [(["format"], "const")]
    assert problems({**data, "more": 1}) == [([], "additionalProperties")]
    data["systems"][0]["evaluation"]["micro"]["f"] = 1.2
    data["systems"][1]["text"] = "a document"
    del data["decision"]["chosen"]
    data["gold"]["name"] = "/a/path"
    assert sorted(problems(data)) == [
        (["decision"], "required"),
        (["gold", "name"], "pattern"),
        (["systems", 0, "evaluation", "micro", "f"], "maximum"),
        (["systems", 1], "additionalProperties"),
    ]


def test_doctests():
    assert doctest.testmod(report_md).failed == 0
