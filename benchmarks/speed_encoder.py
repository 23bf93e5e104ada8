"""The encoder's systems of the speed benchmark: the same weights in each, but for spaCy's
pipeline, whose weights come from the same backbone."""

import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import spacy
import torch
from encoder_data import join_sentences, read_split
from encoder_systems import (
    MAX_PIECES,
    PREDICT_BATCH,
    SPACY_CONFIGS,
    HFSystem,
    Settings,
    SpacySystem,
)
from spacy.language import Language
from speed_measure import (
    SETTINGS,
    Row,
    Run,
    choose_clock,
    count_words,
    describe_error,
    device,
    finish,
    measure,
    on_gpu,
    time_run,
)
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

PEERS = ("raw", "hf", "spacy")
SYSTEMS = (*PEERS, *SETTINGS)
# What takes a document of any length without cutting it into strides.
LONG_SYSTEMS = ("raw", *SETTINGS)
ROW_PIECES = 256  # most pieces in a row of the raw forward
# Small ones too: on a CPU padding costs more than a batch saves.
BATCH_SIZES = (4, 8, 16, 32, 64)
GPU_BATCH_SIZES = (*BATCH_SIZES, 128, 256, 512)
DOCUMENT_WORDS = 300
HF_STRIDE = 64  # word pieces that neighbouring windows of a long text share
SHORT_WORDS = 6
PROCESS_BATCH = 32  # documents that are handed to a process at a time

TRAIN = Settings("wnut17", seed=1, lr=2e-4, epochs=3, limit=600)
SPACY_TRAIN = Settings("wnut17", seed=1, lr=2e-4, epochs=2, limit=300)


# Models and texts


def make_models(folder: Path) -> None:
    """Train what is not there yet: a checkpoint of transformers, and spaCy's pipeline.
    Enough to find entities; how well is another benchmark's matter.

    folder (Path): where they are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "hf").is_dir():
        HFSystem.train(TRAIN).save(folder / "hf")
    if not (folder / "spacy").is_dir():
        SpacySystem.train(SPACY_CONFIGS["spacy"], SPACY_TRAIN).save(folder / "spacy")


def make_texts(words: int, long_words: int) -> dict[str, list[str]]:
    """Make the texts: sentences of wnut17, the same as documents of some 300 words, one
    long document, and tweets of btc.

    words (int): words of each kind but the long document.
    long_words (int): words of that one.
    RETURNS (dict): the texts by name.
    """
    sentences, tweets = (take_words(x, words) for x in ("wnut17", "btc"))
    documents = join_sentences(read_split("wnut17", "test"), DOCUMENT_WORDS)
    number = max(1, words // DOCUMENT_WORDS)
    return {
        "sentences": sentences,
        "documents": [" ".join(x) for x in islice(cycle(documents), number)],
        "one long document": [make_document(long_words)],
        "tweets": tweets,
    }


def take_words(dataset: str, words: int) -> list[str]:
    """RETURNS (list[str]): sentences of a test set until there are so many words, from the
    beginning again where it is too short."""
    texts: list[str] = []
    found = 0
    for sentence in cycle(read_split(dataset, "test")):
        if found >= words:
            return texts
        texts.append(" ".join(sentence.tokens))
        found += len(sentence.tokens)
    return texts


def make_document(words: int) -> str:
    """RETURNS (str): a document of so many words."""
    found = " ".join(take_words("wnut17", words)).split()
    return " ".join(found[:words])


def cut(words: int, size: int) -> list[str]:
    """RETURNS (list[str]): the same words whatever the size, as documents of so many."""
    text = make_document(words).split()
    return [" ".join(text[i : i + size]) for i in range(0, words, size)]


# Systems


def load_ours(models: Path, settings: dict[str, str]) -> Language:
    """RETURNS (Language): a blank pipeline and our component, its weights loaded."""
    nlp = spacy.blank("en")
    block = {"@architectures": "ner_components.HFTokenClassifier.v1", **settings}
    block["name"] = str(models / "hf")
    nlp.add_pipe("ner_encoder", name="ner", config={"model": block})
    nlp("Load it now.")
    return nlp


def load_system(name: str, models: Path) -> Callable[[list[str]], Run]:
    """RETURNS (Callable): what makes a run of a system from texts, untimed."""
    if name == "raw":
        model = AutoModelForTokenClassification.from_pretrained(models / "hf").eval()
        model.to(device())
        tokenizer = AutoTokenizer.from_pretrained(models / "hf")
        return lambda texts: make_raw_run(model, tokenizer, texts)
    if name == "hf":
        annotate = load_hf(models / "hf")
        return lambda texts: lambda: annotate(texts)
    if name == "spacy":
        nlp = spacy.load(models / "spacy")
    else:
        nlp = load_ours(models, SETTINGS[name])
    return lambda texts: make_pipe_run(nlp, texts)


def load_hf(folder: Path) -> Any:
    """RETURNS (TokenClassificationPipeline): Hugging Face's own way from texts to spans."""
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=MAX_PIECES)
    return pipeline(
        "token-classification",
        model=str(folder),
        tokenizer=tokenizer,
        aggregation_strategy="simple",
        stride=HF_STRIDE,
        batch_size=PREDICT_BATCH,
        device=device(),
    )


def make_pipe_run(nlp: Language, texts: list[str], **options: Any) -> Run:
    """RETURNS (Run): `nlp.pipe` over strings, the pipeline's tokenizer included."""

    def run() -> None:
        for _ in nlp.pipe(texts, **options):
            pass

    return run


def make_raw_run(model: Any, tokenizer: Any, texts: list[str]) -> "Forward":
    """RETURNS (Forward): the forward alone, on batches that are ready, at the best of the
    batch sizes."""
    rows = make_rows(tokenizer, texts)
    sizes = GPU_BATCH_SIZES if on_gpu() else BATCH_SIZES
    runs = [Forward(model, make_padded(rows, x), x) for x in sizes]
    runs[0]()  # the first pass of all is slower
    tried = {run.batch_size: time_run(run)[choose_clock()] for run in runs}
    best = min(runs, key=lambda run: tried[run.batch_size])
    best.tried = tried
    return best


def make_rows(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """RETURNS (list): pieces of the texts in rows of at most 256, shortest first."""
    encoded = tokenizer(
        texts, truncation=True, max_length=ROW_PIECES, return_overflowing_tokens=True
    )
    return sorted(encoded["input_ids"], key=len)


def make_padded(rows: list[list[int]], size: int) -> list[dict[str, torch.Tensor]]:
    """RETURNS (list): the rows as the model's inputs, so many in each."""
    return [pad(rows[start : start + size]) for start in range(0, len(rows), size)]


def pad(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """RETURNS (dict): rows of pieces as a model's inputs, (rows, time)."""
    parts = [torch.tensor(x) for x in rows]
    ids = torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    lengths = torch.tensor([len(x) for x in parts])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    batch = {"input_ids": ids, "attention_mask": mask.long()}
    return {k: v.to(device()) for k, v in batch.items()}


class Forward:
    """The forward passes and nothing else.

    model (PreTrainedModel): The model.
    batches (list[dict[str, torch.Tensor]]): Its inputs.
    batch_size (int): Rows in each.
    """

    def __init__(
        self, model: Any, batches: list[dict[str, torch.Tensor]], batch_size: int
    ) -> None:
        self.model = model
        self.batches = batches
        self.batch_size = batch_size
        self.tried: dict[int, float] = {}  # seconds, by batch size

    @torch.inference_mode()
    def __call__(self) -> None:
        for batch in self.batches:
            self.model(**batch)


# Parts


def measure_systems(
    models: Path, texts: dict[str, list[str]], names: Iterable[str], rounds: int
) -> list[Row]:
    """RETURNS (list[Row]): a row for each of the texts and systems."""
    makers, left_out = load_systems(models, names)
    rows = []
    for kind, chosen in texts.items():
        fit = [x for x in makers if kind != "one long document" or x in LONG_SYSTEMS]
        runs = {name: makers[name](chosen) for name in fit}
        words = dict.fromkeys(runs, count_words(chosen))
        for row in measure(runs, words, rounds, PEERS):
            run = runs[row["system"]]
            if isinstance(run, Forward):
                row |= {"batch_size": run.batch_size, "batch_sizes": run.tried}
            rows.append({"texts": kind, **row})
    for name, reason in left_out.items():
        rows.append({"texts": "all", "system": name, "left_out": reason})
    return rows


def load_systems(
    models: Path, names: Iterable[str]
) -> tuple[dict[str, Callable[[list[str]], Run]], dict[str, str]]:
    """RETURNS (tuple): makers of runs, and why the other systems can't be had."""
    makers, left_out = {}, {}
    for name in names:
        try:
            makers[name] = load_system(name, models)
        except Exception as e:
            left_out[name] = describe_error(e)
    return makers, left_out


def measure_outside(models: Path, texts: dict[str, list[str]], rounds: int) -> list[Row]:
    """Measure what `ours` spends outside the forward passes of its model.

    RETURNS (list[Row]): for each of the texts the microseconds a word: at the first pass
        over them, when every word is new to spaCy, and the median of the rounds after it.
    """
    rows = []
    for kind, chosen in texts.items():
        nlp = load_ours(models, SETTINGS["ours"])
        run, words = make_pipe_run(nlp, chosen), count_words(chosen)
        spent = [time_outside(nlp, run) / words * 1e6 for _ in range(rounds + 1)]
        rows.append(
            {
                "texts": kind,
                "system": "ours",
                "words": words,
                "microseconds": median(spent[1:]),
                "first": spent[0],
                "rounds": spent[1:],
            }
        )
    return rows


def time_outside(nlp: Language, run: Run) -> float:
    """RETURNS (float): seconds of a run but for the forward passes."""
    ner: Any = nlp.get_pipe("ner")
    shim, clock = ner.model.shims[0], choose_clock()
    now = time.process_time if clock == "cpu" else time.perf_counter
    inside = 0.0

    def predict(inputs: Any) -> Any:
        nonlocal inside
        finish()
        start = now()
        try:
            return type(shim).predict(shim, inputs)
        finally:
            finish()
            inside += now() - start

    shim.predict = predict
    try:
        return time_run(run)[clock] - inside
    finally:
        del shim.predict


def measure_length(models: Path, lengths: list[int], words: int, rounds: int) -> list[Row]:
    """RETURNS (list[Row]): `ours` on the same words as documents of each length."""
    total = max(words, *lengths)
    texts = {n: cut(total, n) for n in lengths}
    return measure_ours(models, texts, rounds)


def measure_stream(models: Path, numbers: list[int], rounds: int) -> list[Row]:
    """RETURNS (list[Row]): `ours` on streams of so many short documents: those of the
    shortest stream, again and again."""
    shortest = cut(min(numbers) * SHORT_WORDS, SHORT_WORDS)
    texts = {n: list(islice(cycle(shortest), n)) for n in numbers}
    return measure_ours(models, texts, rounds)


def measure_ours(models: Path, texts: dict[int, list[str]], rounds: int) -> list[Row]:
    """RETURNS (list[Row]): `ours` on texts of each size; ratios are to the first size."""
    nlp = load_ours(models, SETTINGS["ours"])
    runs = {str(size): make_pipe_run(nlp, chosen) for size, chosen in texts.items()}
    words = {str(size): count_words(chosen) for size, chosen in texts.items()}
    found = measure(runs, words, rounds, list(runs)[:1])
    return [
        {**row, "system": "ours", "size": size, "documents": len(texts[size])}
        for size, row in zip(texts, found, strict=True)
    ]


def measure_processes(models: Path, texts: list[str], rounds: int) -> list[Row]:
    """RETURNS (list[Row]): `ours` in one and in two processes, start of the workers
    included, by wall time; ratios are to one process.
    RAISES (RuntimeError): They found other entities.
    """
    nlp = load_ours(models, SETTINGS["ours"])
    options = {"batch_size": PROCESS_BATCH}
    if find_entities(nlp, texts, 1) != find_entities(nlp, texts, 2):
        raise RuntimeError("two processes found other entities than one")
    runs = {str(n): make_pipe_run(nlp, texts, n_process=n, **options) for n in (1, 2)}
    words = dict.fromkeys(runs, count_words(texts))
    found = measure(runs, words, rounds, ["1"], clock="wall")
    return [{**row, "system": "ours", "processes": int(row["system"])} for row in found]


def find_entities(nlp: Language, texts: list[str], processes: int) -> list[list[Any]]:
    """RETURNS (list): offsets and labels of each text's entities."""
    docs = nlp.pipe(texts, n_process=processes, batch_size=PROCESS_BATCH)
    return [[(x.start_char, x.end_char, x.label_) for x in doc.ents] for doc in docs]
