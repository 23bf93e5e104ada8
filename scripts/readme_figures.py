"""Write the measured figures into the README and docs/performance.md, between their markers,
from metrics/published.

    python scripts/readme_figures.py [--check]

Nothing is typed in by hand: a test runs this with --check.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
PUBLISHED = ROOT / "metrics" / "published"
START, END = "<!-- FIGURES START -->", "<!-- FIGURES END -->"
# Of benchmarks/gliner_zero_shot.py.
ZERO_SHOT_SENTENCES = 500
NAMES = {"ours": "`ner_encoder`", "hf": "HF token classification", "spacy": "spaCy `ner`"}


def main(check: bool) -> int:
    """RETURNS (int): exit code: 1 if a page is not what the figures say."""
    stale = 0
    for page, make in ((README, figures), (PERFORMANCE, performance)):
        text = page.read_text(encoding="utf8")
        before, rest = text.split(START)
        after = rest.split(END)[1]
        made = f"{before}{START}\n{make()}\n{END}{after}"
        if check:
            stale |= made != text
        else:
            page.write_text(made, encoding="utf8")
    return int(stale)


def figures() -> str:
    """RETURNS (str): The section, as Markdown."""
    sections = {
        "gold": gold,
        "compare": compared,
        "corpora_f1": corpora,
        "corpora_f1_baseline": engines,
        "encoder_f1": accuracy,
        "gliner_zero_shot": zero_shot,
        "speed": speed,
        "llm_throughput": throughput,
        "import_time": imports,
    }
    parts = ["## Figures", ""]
    for name, section in sections.items():
        if any(PUBLISHED.glob(f"{name}.json")):
            parts += section()
    return "\n".join(parts).rstrip()


def performance() -> str:
    """RETURNS (str): The figures of docs/performance.md, as Markdown."""
    sections = {
        "precision": precision,
        "backends": backends,
        "windows_f1": windows,
        "training_speed": training,
        "training_f1": training_f1,
        "stream": stream,
        "speed": measured,
    }
    parts = ["## Figures", ""]
    for name, section in sections.items():
        if any(PUBLISHED.glob(f"{name}*.json")):
            parts += section()
    return "\n".join(parts).rstrip()


def precision() -> list[str]:
    lines = [
        "What less than float32 changes on test sets, with the models of `python benchmarks/corpora_f1.py train` (seed 1; "
        "`python benchmarks/precision_f1.py`): entities of float32 that are found unchanged, those found besides, and the "
        "change in micro F1 with its paired 95% interval by document. Unstable: of the entities in so many texts annotated one "
        "by one, those that are not found, or others with them, when the texts are annotated in batches or in another order.",
        "",
        "| engine | data | setting | entities | unchanged | added | change of F1 | interval | unstable |",
        "|---|---|---|---:|---:|---:|---:|---|---|",
    ]
    for name, engine in (
        ("precision", "`ner_encoder`"),
        ("precision_gliner", "`ner_gliner`"),
    ):
        if not (PUBLISHED / f"{name}.json").exists():
            continue
        report = read(name)
        for x in report["rows"]:
            near = report["neighbours"].get(x["setting"], {})
            unstable = (
                f"{near['unstable']} of {near['entities']} in {near['texts']}"
                if near.get("corpus") == x["corpus"]
                else ""
            )
            if x["setting"] == "float32":
                continue
            change = [x["change"][y] for y in ("value", "low", "high")]
            cells = [engine, x["corpus"], x["setting"], x["entities"]]
            cells += [f"{100 * x['unchanged']:.2f}%", x["added"], f"{100 * change[0]:+.2f}"]
            cells += [" to ".join(f"{100 * y:+.2f}" for y in change[1:]), unstable]
            lines.append(table_row(cells))
    return [*lines, ""]


def backends() -> list[str]:
    report = read("backends")
    machine = report["machine"]
    versions = machine["versions"]
    names = ("torch", "onnxruntime", "openvino", "nncf")
    lines = [
        "The forward pass of the embedded encoder by three runtimes, one thread, as a ratio to torch's in float32, and what its "
        "vectors differ by from those, as a share of their length (`python benchmarks/backends.py`, "
        f"{machine['processor']} with {' and '.join(machine['flags'])}; "
        f"{', '.join(f'{x} {versions[x]}' for x in names)}):",
        "",
        "| texts | runtime | speed | error |",
        "|---|---|---|---:|",
    ]
    for x in report["rows"]:
        cells = [x["texts"], x["system"], ratio(x["speed"]), f"{x['error']:.4f}"]
        lines.append(table_row(cells))
    return [*lines, ""]


def windows() -> list[str]:
    lines = [
        "Windows of long documents that end where a sentence does, beside windows that overlap by their context (models of "
        "`python benchmarks/corpora_f1.py train`, seed 1; dev sets, the gold set's documents and bc5cdr's sentences joined, the "
        "others' documents whole; micro F1, the change with its paired 95% interval by document, and word pieces computed; "
        "`python benchmarks/windows_f1.py`; * from few documents):",
        "",
        "| data | documents | words | F1 overlap | F1 sentences | change | interval | pieces |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for x in read("windows_f1")["rows"]:
        change, pieces = x["change"], x["pieces"]
        cells = [x["corpus"], x["documents"], x["words"]]
        cells += [percent(x["micro_f"][y]) for y in ("overlap", "sentences")]
        value, interval = change_cells(change)
        cells += [value, "" if x["documents"] == 1 else interval]
        cells += [f"{pieces['sentences'] / pieces['overlap']:.2f}"]
        lines.append(table_row(cells))
    return [*lines, ""]


def training() -> list[str]:
    report = read("training_speed")
    lines = [
        f"A training step of {report['sentences']} sentences of {report['dataset']}, one thread, beside a plain torch loop "
        "with the same batches and padding (`python benchmarks/training_speed.py`; CPU seconds, medians of "
        f"{report['rounds']} rounds in turn):",
        "",
        "| system | seconds | of the torch loop |",
        "|---|---:|---:|",
    ]
    seconds = report["seconds_per_step"]
    for name, values in seconds.items():
        share = median(a / b for a, b in zip(values, seconds["torch loop"], strict=True))
        lines.append(f"| {name} | {median(values):.3f} | {share:.2f} |")
    return [*lines, ""]


def training_f1() -> list[str]:
    rows = read("training_f1")["rows"]
    lines = [
        f"What that does to the F1 of `ner_encoder` ({len(rows[0]['micro_f']['with'])} seeds; micro F1 on test and the "
        "paired 95% interval of the change, by document, these seeds held fixed; `python benchmarks/training_f1.py`):",
        "",
        "| data | setting | F1 without | with | change | interval |",
        "|---|---|---:|---:|---:|---|",
    ]
    for x in rows:
        means = [sum(x["micro_f"][y]) / len(x["micro_f"][y]) for y in ("without", "with")]
        cells = [x["corpus"], x["setting"].replace("+", ", "), *map(percent, means)]
        lines.append(table_row([*cells, *change_cells(x["change"])]))
    return [*lines, ""]


def stream() -> list[str]:
    lines = [
        "Memory over a stream of a million short documents, two new words in each, in memory zones of a thousand (`python "
        "benchmarks/speed_process.py stream 1000000 [PIPELINE]`). What grows is spaCy's own: two tables of lexemes that "
        "double after about 225,000, 460,000 and 940,000 documents, by 8, 16 and 32 MB each. The second of the last pair "
        "doubled after the last column for `spacy.blank`, whose peak shows it; the other's peak is from its start:",
        "",
        "| pipeline | documents | MB at a twentieth | at a half | at nineteen twentieths | peak |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, x in read("stream").items():
        sizes = [x["sizes"][1], x["sizes"][10], x["sizes"][19], x["peak"]]
        cells = [name, f"{x['documents']:,}", *(f"{size:.0f}" for size in sizes)]
        lines.append(table_row(cells))
    return [*lines, ""]


def measured() -> list[str]:
    report = read("speed")
    text = (PUBLISHED / "speed.md").read_text(encoding="utf8")
    lines = [
        f"`{report['command']}`. {report.get('note', '')} `ner_llm` with other "
        "servers and more documents: [README](../README.md#figures).",
        "",
    ]
    return [*lines, text.replace("\n## ", "\n### ")]


def gold() -> list[str]:
    scores = read("gold")
    lines = [
        "Test set of the gold set, `configs/embedded.cfg`, as the first command above prints it. "
        "Agreement is the span F1 of two annotators who were not shown each other's marks; both are "
        "instances of the AI model that wrote the texts, so read it as an upper bound. 95% intervals by "
        "document ([docs/metrics.md](docs/metrics.md)); * too few documents to rely on, or no mistake at all:",
        "",
        "| label | entities | P | R | F1 | interval | agreement | interval |",
        "|---|---:|---:|---:|---:|---|---:|---|",
    ]
    cuts, agreement = read("gold_cuts"), read("agreement")
    for label, x in [*cuts["label"].items(), ("micro", cuts["all"]["micro"])]:
        name = f"**{label}**" if label == "micro" else label
        same = agreement[label]
        cells = [name, x["gold"], *(percent(x[y]) for y in "prf"), bounds(x)]
        cells += [percent(same["f"]), bounds(same)]
        lines.append(table_row(cells))
    lines.append(f"| **macro** | | | | {percent(scores['ents_macro_f'])} | | | |")
    lines += [
        "",
        "The same by what makes a document hard, and by genre:",
        "",
        "| tag or genre | documents | entities | F1 | interval |",
        "|---|---:|---:|---:|---|",
    ]
    for name, x in [*cuts["tag"].items(), *cuts["genre"].items()]:
        cells = [name, x["documents"], x["gold"], percent(x["f"]), bounds(x)]
        lines.append(table_row(cells))
    rate = scores["ner_schema_error_rate"]
    shown = "n/a (an encoder can't make one)" if rate is None else percent(rate)
    return [*lines, "", f"Schema error rate: {shown}.", ""]


def compared() -> list[str]:
    report = read("compare")
    lines = [
        "Embedded checkpoints on one small backbone: this shows that the tool works, not which family of "
        "engines is better. Test set of the gold set, as `python -m spacy project run compare . --vars.gliner_steps "
        "400 --vars.gliner_eval 200` made it, with gliner-spacy installed (it runs with the weights of `gliner`) and "
        "no LLM server; thresholds chosen on dev, times of one run on a shared machine. For hub models name them in the "
        "model blocks of the configs, or compare pipelines of your own (`python -m spacy ner compare`). Published "
        "figures are of other data: zero-shot GLiNER models 54 to 62 on CrossNER (their authors), spaCy's "
        "RoBERTa pipeline 91.6 on CoNLL-2003 (spaCy's documentation).",
        "",
        "| system | F1 | interval | macro F1 | schema errors | p95, ms | words/s | memory, MB |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for x in report["systems"]:
        rate = x["evaluation"]["schema_error_rate"]
        cells = [
            x["name"],
            *f1_cells(x["intervals"]),
            percent(x["evaluation"]["macro"]["f"]),
            "n/a" if rate is None else percent(rate),
            f"{x['latency_ms']['p95']:.0f}",
            f"{x['throughput']['words_per_second']:,.0f}",
            f"{x['peak_memory_mb']:.0f}",
        ]
        lines.append(table_row(cells))
    return [*lines, "", f"What it decides: {report['decision']['statement']}", ""]


def engines() -> list[str]:
    names = ("corpora_f1", "corpora_f1_gliner", "corpora_f1_baseline")
    reports = [read(name) for name in names]
    lines = [
        "The same `ner_encoder` beside `ner_gliner`, built on the same embedded encoder and trained for 600 steps on "
        "each corpus alone (`python benchmarks/corpora_f1.py train --config gliner_train`; threshold 0.5; mixed "
        "precision), and spaCy's own `ner` (`configs/baseline.cfg`, 2,000 steps, of which dev chooses the best of ten: "
        "`--config baseline`; uner_zh_gsd is Chinese, of which the embedded encoder knows nothing); micro F1, 95% intervals, number of seeds, minutes of a GLiNER's training on a shared core:",
        "",
        "| data | `ner_encoder` | interval | seeds | `ner_gliner` | interval | seeds | minutes | spaCy `ner` | "
        "interval | seeds |",
        "|---|---:|---|---:|---:|---|---:|---:|---:|---|---:|",
    ]
    for name in reports[0]:
        if not any(name in report for report in reports[1:]):
            continue
        cells: list[Any] = [name]
        for kind, report in zip(names, reports, strict=True):
            x = report.get(name)
            cells += (
                ["", "", ""] if x is None else [*f1_cells(x), len(x["micro_f"]["seeds"])]
            )
            if kind == "corpora_f1_gliner":
                minutes = x and [y for y in x["minutes"] if y is not None]
                cells.append(f"{sum(minutes) / len(minutes):.0f}" if minutes else "")
        lines.append(table_row(cells))
    return [*lines, ""]


def corpora() -> list[str]:
    lines = [
        "Every corpus of the benchmark (`python -m spacy project run benchmark`): "
        "`configs/embedded.cfg`, learning rate untuned, tokens as the corpus has them; mean over the "
        "seeds, 95% intervals by document, or by sentence where the corpus names no documents; * too few to "
        "rely on. bc5cdr and ncbi_disease are scored on their development "
        "sets, uner_en_ewt is trained on its own, and uner_de_pud is scored with the English model of "
        "uner_en_ewt. Schema error rate: n/a, an encoder can't make one.",
        "",
        "| data | epochs | seeds | documents | entities | micro F1 | interval | macro F1 | interval |",
        "|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for name, x in read("corpora_f1").items():
        micro, macro = x["micro_f"], x["macro_f"]
        cells = [name, x["epochs"], len(micro["seeds"]), micro["documents"], x["entities"]]
        for figure in (micro, macro):
            star = "" if figure["reliable"] else " *"
            cells += [
                percent(figure["value"]),
                span([figure["low"], figure["high"]]) + star,
            ]
        lines.append(table_row(cells))
    return [*lines, ""]


def accuracy() -> list[str]:
    lines = [
        "Strict span F1 against two peers: same backbone (all-MiniLM-L6-v2), epochs (2 on wnut17, 3 "
        "on fin_sec) and batches, learning rate tuned on dev; mean of three seeds, 95% intervals of "
        "a paired bootstrap over test sentences (`python benchmarks/encoder_f1.py`). Each system "
        "annotated test once a seed, but `ner_encoder` had been scored on wnut17's test during its "
        "development, and annotated fin_sec's a second time after the range of its outside bias was found "
        "to be too narrow for dev. fin_sec's dev is one document with five ORG and says little about test:",
        "",
        "| data | system | test F1 | interval | `ner_encoder` minus it |",
        "|---|---|---:|---|---|",
    ]
    for dataset, result in read("encoder_f1").items():
        for name, x in result["systems"].items():
            other = result["differences"].get(name)
            gap = (
                f"{100 * other['f1']:+.2f} ({span(other['interval'], '+')})"
                if other
                else ""
            )
            cells = [dataset, NAMES[name], percent(x["f1"]), span(x["interval"]), gap]
            lines.append(table_row(cells))
    return [*lines, ""]


def f1_cells(system: dict[str, Any]) -> list[str]:
    x = system["micro_f"]
    star = "" if x["reliable"] else " *"
    return [percent(x["value"]), span([x["low"], x["high"]]) + star]


def change_cells(change: dict[str, Any]) -> list[str]:
    star = "" if change["reliable"] else " *"
    interval = span([change["low"], change["high"]], "+")
    return [f"{100 * change['value']:+.1f}", interval + star]


def zero_shot() -> list[str]:
    trained = read("gliner_zero_shot")
    settings, minutes = trained["settings"], round(trained["seconds"] / 60)
    lines = [
        f"`ner_gliner` without training on a set: built on the embedded encoder, {settings['steps']} steps ({minutes} "
        f"minutes on a shared core) on {settings['sentences']} sentences with {len(trained['labels'])} labels "
        "(`python benchmarks/gliner_zero_shot.py`), by whether it had seen a set's other sentences and the label's words in "
        f"training (at most {ZERO_SHOT_SENTENCES} sentences of a test set). It is small and saw little; the authors of "
        "published checkpoints report 54 to 62 on CrossNER, the mean of its five sets:",
        "",
        "| data | set seen | labels | entities | micro F1 | interval | macro F1 |",
        "|---|---|---|---:|---:|---|---:|",
    ]
    for name, x in read("gliner_zero_shot")["sets"].items():
        for part in ("seen", "unseen"):
            if part in x:
                y = x[part]
                seen = "no" if x["held_out"] else "yes"
                figures = [*f1_cells({"micro_f": y["f"]}), percent(y["macro_f"])]
                cells = [name, seen, part, y["gold"], *figures]
                lines.append(table_row(cells))
    return [*lines, ""]


def speed() -> list[str]:
    report = read("speed")
    machine = report["machine"]
    lines = [
        "Words per CPU second from texts to entities, one thread, interleaved in one process, as a ratio to a peer with the "
        "same weights (median and range of the rounds), "
        f"on an {machine['processor']} with {' and '.join(machine['flags'])} "
        "(`python benchmarks/speed.py`; [docs/performance.md](docs/performance.md) has the rest, and what less than "
        "float32 costs):",
        "",
        "| engine | texts | setting | to the first peer | to the second |",
        "|---|---|---|---|---|",
    ]
    peers = {"encoder": ("spacy", "hf"), "gliner": ("gliner-spacy", "gliner batch")}
    for part, names in peers.items():
        for row in report[part]:
            ratios = row.get("ratios", {})
            if row["system"].startswith("ours") and names[1] in ratios:
                setting = row["system"].removeprefix("ours").strip() or "float32"
                cells = [ratio(ratios[x]) if x in ratios else "" for x in names]
                cells = [f"`ner_{part}`", row["texts"], setting, *cells]
                lines.append(table_row(cells))
    lines += [
        "",
        "The peers are spaCy's `transformer` + `ner` and Hugging Face's pipeline for `ner_encoder`, gliner-spacy and the "
        "gliner library's batch call for `ner_gliner` (hidden size 512, spans of up to 12 words, 4 labels).",
    ]
    return [*lines, ""]


def throughput() -> list[str]:
    lines = [
        "`ner_llm` against a local server that answers after a fixed time L, as a share of what c requests "
        "in flight can give (c / L documents a second), and when the first document is out, beside spacy-llm's "
        "own pipe in the same run (`python benchmarks/llm_throughput.py`):",
        "",
        "| system | c | L, s | documents | of c / L | first document, in L |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for x in read("llm_throughput")["rows"]:
        cells = [x["system"], x["concurrency"], x["latency"], x["documents"]]
        cells += [f"{x['share_of_bound']:.2f}", f"{x['first_in_latencies']:.2f}"]
        lines.append(table_row(cells))
    return [*lines, ""]


def imports() -> list[str]:
    x = read("import_time")
    return [
        f'`spacy.blank("en")` costs {x["extra"]:.0f} ms more with the package installed.'
    ]


def read(name: str) -> dict[str, Any]:
    return json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf8"))


def table_row(cells: Iterable[Any]) -> str:
    """RETURNS (str): A row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def span(bounds: list[float], sign: str = "") -> str:
    return " to ".join(f"{100 * x:{sign}.1f}" for x in bounds)


def bounds(x: dict[str, Any]) -> str:
    return span(x["interval"]) + ("" if x["reliable"] else " *")


def ratio(x: dict[str, Any]) -> str:
    return f"{x['median']:.2f} ({x['min']:.2f} to {x['max']:.2f})"


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
