"""Plots: what they say in words, that hostile names stay names, that nothing overlaps."""

import doctest
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from planted_report import CANARY, HOSTILE, LABELS, SYSTEMS, planted_report

from ner_components.evaluation import plot_style, plot_text
from ner_components.evaluation.plot_style import DARK, LIGHT, shorten
from ner_components.evaluation.plot_text import pareto, plot_texts
from ner_components.evaluation.plots import make_plots

SVG = "{http://www.w3.org/2000/svg}"
EIGHT = [(f"system-{i}", 0.7 + 0.03 * i, 2.0 * 3**i, 0.0, i < 6, 0.01) for i in range(8)]
EIGHTEEN = [f"A_LONG_LABEL_{i}" for i in range(18)]


@pytest.fixture(scope="module")
def report():
    return planted_report()


@pytest.fixture(scope="module")
def plots(report):
    return make_plots(report)


def texts_of(svg):
    root = ElementTree.fromstring(svg)
    return ["".join(x.itertext()).strip() for x in root.iter(f"{SVG}text")]


def test_all_plots_are_there_in_order(report, plots):
    names = ["f1_latency", "f1_cost", "per_label", "error_classes", "calibration"]
    assert list(plots) == list(plot_texts(report)) == [*names, "schema_errors"]
    for plot in plots.values():
        assert plot.png.startswith(b"\x89PNG")
        assert plot.description.endswith(".")
        assert "dc:date" not in plot.light
        for svg, theme in ((plot.light, LIGHT), (plot.dark, DARK)):
            ElementTree.fromstring(svg)
            assert theme.background in svg
            assert theme.ink in svg or theme.faint in svg
            # No font is drawn as outlines, and nothing is fetched.
            assert "DejaVuSans-" not in svg
            assert not re.search(r'href="(?!#|data:)', svg)


def test_the_same_report_gives_the_same_bytes(report, plots):
    assert make_plots(report) == plots


def test_texts_are_texts_and_figures_are_there(report, plots):
    texts = texts_of(plots["f1_latency"].light)
    assert {"encoder", "gliner", "llm", "10", "100", "1,000"} <= set(texts)
    f = report["systems"][0]["evaluation"]["per_label"]["ORG"]["f"]
    texts = texts_of(plots["per_label"].light)
    assert f"{100 * f:.0f}" in texts
    assert f"ORG ({report['gold']['labels']['ORG']})" in texts
    errors = report["systems"][1]["evaluation"]["errors"]
    total = sum(n for kind, n in errors.items() if kind != "correct")
    assert str(total) in texts_of(plots["error_classes"].light)
    # No system has both wrong: it takes no place in the legend.
    assert "both wrong" not in texts_of(plots["error_classes"].light)


def test_descriptions_tell_the_figures(report):
    texts = plot_texts(report)
    first = report["systems"][0]["intervals"]["micro_f"]
    value, low, high = (f"{100 * first[x]:.1f}" for x in ("value", "low", "high"))
    shown = f"encoder {value} ({low} to {high}) at 11 ms for a document (p95)"
    assert shown in texts["f1_latency"].description
    assert texts["f1_latency"].description.endswith("On the Pareto front: encoder.")
    rate = report["systems"][2]["evaluation"]["schema_error_rate"]
    assert f"llm: {100 * rate:.2f}% unknown label." in texts["schema_errors"].description
    assert "encoder: none." in texts["schema_errors"].description
    assert "encoder has an ECE of" in texts["calibration"].description
    assert "llm" not in texts["calibration"].description


def test_what_shows_nothing_is_left_out():
    # Neither scores nor cost nor schema errors nor a latency.
    report = planted_report([("plain", 0.5, 1.0, 0.0, False, 0.0)], documents=10)
    report["systems"][0]["latency_ms"] = None
    assert list(plot_texts(report)) == ["per_label", "error_classes"]
    perfect = planted_report([("perfect", 1.0, 1.0, 0.0, False, 0.0)], documents=10)
    assert list(make_plots(perfect)) == ["f1_latency", "per_label"]


def test_a_system_without_a_figure_is_named_as_missing(report):
    systems = [{**x, "latency_ms": x["latency_ms"]} for x in report["systems"]]
    systems[2]["latency_ms"] = None
    found = plot_texts({**report, "systems": systems})["f1_latency"].description
    assert found.endswith("Without a known latency, and not shown: llm.")


def test_pareto():
    assert pareto([(3.0, 0.9), (1.0, 0.5), (2.0, 0.9), (2.5, 0.7)]) == [1, 2]
    assert pareto([(1.0, 0.5), (1.0, 0.6), (1.0, 0.6)]) == [1]
    assert pareto([]) == []


def test_hostile_names_are_only_text():
    systems = [(f"{x[:3]}{HOSTILE}", *rest) for x, *rest in SYSTEMS]
    report = planted_report(systems, [f"{x}{HOSTILE}" for x in LABELS], documents=12)
    for plot in make_plots(report).values():
        root = ElementTree.fromstring(plot.light)
        assert not [x for x in root.iter() if x.tag.endswith("script")]
        assert CANARY not in plot.light + plot.description
    texts = texts_of(plot.light)
    assert "enc<script>alert(1)</sc…" in texts


def test_names_are_cut_and_cleaned():
    assert shorten("a" * 24) == "a" * 24
    assert shorten("a" * 25) == "a" * 23 + "…"
    assert shorten("a\u2028b\x00\ud800") == "a\ufffdb\ufffd\ufffd"


def test_eight_systems_and_eighteen_labels_do_not_overlap(monkeypatch):
    """Names in a plot are apart from each other and from all points."""
    boxes = []
    place = plot_style.place_labels

    def watch(axes, points, names, *rest):
        place(axes, points, names, *rest)
        renderer = axes.figure.canvas.get_renderer()
        texts = [x for x in axes.texts if x.get_text() in names]
        boxes.append(([x.get_window_extent(renderer) for x in texts], axes, points))

    monkeypatch.setattr("ner_components.evaluation.plot_front.place_labels", watch)
    report = planted_report(EIGHT, EIGHTEEN, documents=40)
    # All cost the same but two.
    for i, x in enumerate(report["systems"]):
        x["per_thousand_documents"]["cost"] = max(0.0, i - 5.0)
    plots = make_plots(report)
    assert len(boxes) == 6
    for of_names, axes, points in boxes:
        assert len(of_names) == 8
        at = [axes.transData.transform(x) for x in points]
        for i, box in enumerate(of_names):
            assert not any(box.overlaps(x) for x in of_names[:i])
            assert not any(box.contains(*x) for x in at)
            inside = axes.bbox
            assert inside.x0 <= box.x0 < box.x1 <= inside.x1
            assert inside.y0 <= box.y0 < box.y1 <= inside.y1
        assert len({round(x, 3) for x, _ in at}) == 8
    assert texts_of(plots["per_label"].light).count("system-7") == 1


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    dark, light = sorted(luminance(x) for x in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme):
    for ink in (theme.ink, theme.faint, *theme.systems):
        assert contrast(ink, theme.background) >= 4.5
    for shade, ink in theme.parts:
        assert contrast(ink, shade) >= 4.5
    assert len(set(theme.systems)) == 8


def test_matplotlib_is_asked_for_late_and_named_when_missing(report, monkeypatch):
    code = "import sys; import ner_components.evaluation.plots; "
    code += "sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib.*ner_components\[eval\]"):
        make_plots(report)


def test_doctests():
    assert doctest.testmod(plot_text).failed == 0
