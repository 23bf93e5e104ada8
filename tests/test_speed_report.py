"""The speed benchmark's arithmetic: ratios, bars, and figures that there are too few to give."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from speed_measure import compare, measure
from speed_process import LEAST_SIZES, slope
from speed_report import BARS, judge, render

MACHINE = {"processor": "none", "flags": [], "versions": {}, "threads": 1}


def verdicts(part, rows):
    return {(x["texts"], x["system"], x["peer"]): x["verdict"] for x in judge({part: rows})}


def test_a_ratio_is_taken_within_a_round():
    found = compare([10.0, 40.0, 9.0], [10.0, 20.0, 10.0])
    assert found == {"median": 1.0, "min": 0.9, "max": 2.0}


def test_a_system_that_fails_is_left_out_with_its_reason():
    def fail():
        raise ValueError("no such setting\n/home/somebody")

    runs = {"ours": lambda: sum(range(10_000)), "ours int8": fail}
    ours, int8 = measure(runs, {"ours": 5, "ours int8": 5}, 5, ["ours", "raw"])
    assert ours["words_per_second"] > 0
    assert len(ours["rounds"]["cpu"]) == len(ours["rounds"]["wall"]) == 5
    assert list(ours["ratios"]) == ["ours"]
    assert int8["left_out"] == "ValueError: no such setting"


def test_bars_are_met_missed_or_not_measured():
    ratios = {"raw": {"median": 0.95}, "spacy": {"median": 1.99}}
    row = {"texts": "sentences", "system": "ours", "ratios": ratios}
    left_out = {"texts": "all", "system": "ours int8", "left_out": "no such setting"}
    found = verdicts("encoder", [row, left_out])
    assert found["sentences", "ours", "raw"] == "met"
    assert found["sentences", "ours", "spacy"] == "missed"
    assert found["sentences", "ours", "hf"] == "not measured"
    assert found["sentences", "ours int8", "raw"] == "not measured"
    assert len(found) == sum(bar.part == "encoder" for bar in BARS)


@pytest.mark.parametrize(
    ("blank", "ours", "verdict"),
    [(0.1, 0.1, "met"), (0.1, 0.12, "missed"), (0.1, None, "not measured")],
)
def test_growth_is_held_against_the_blank_pipeline(blank, ours, verdict):
    rows = [{"system": "blank", "growth": blank}, {"system": "ours", "growth": ours}]
    assert list(verdicts("memory_stream", rows).values()) == [verdict]


def test_growth_over_a_stream_that_is_too_short_is_not_given():
    assert slope([1.0] * (LEAST_SIZES - 1)) is None
    assert slope([1.0 + 0.5 * i for i in range(LEAST_SIZES)]) == pytest.approx(0.5)


def test_the_report_names_what_was_left_out():
    rows = [{"texts": "all", "system": "ours int8", "left_out": "no such setting"}]
    results = {"machine": MACHINE, "rounds": 5, "encoder": rows}
    tables = render({**results, "bars": judge(results)})
    assert "- `ours int8` is left out: no such setting" in tables
    assert tables.count("not measured") == sum(bar.part == "encoder" for bar in BARS)
