"""Prediction in bfloat16, in 8 bits and by ONNX Runtime, and `python -m spacy ner
optimize`, which says what that costs."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import spacy
import srsly
from conftest import LABELS, SENTENCES, gold_entities, make_examples
from spacy.tokens import DocBin
from typer.testing import CliRunner

from ner_components import onnx_graph, precision
from ner_components.cli import ner_cli
from ner_components.cli.optimize import META_KEY, find_settings, optimize
from ner_components.precision import (
    OnnxModule,
    Precision,
    make_graph,
    make_precision,
    make_samples,
    processor_flags,
    reduce_encoder,
)

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# A processor without VNNI or bfloat16 is warned of; the results hold there too.
pytestmark = pytest.mark.filterwarnings("ignore:precision = ")

TEXTS = [text for text, _ in SENTENCES]
WAYS = [("float32", "onnxruntime"), ("bfloat16", None), ("int8", None)]
BLOCK = "components.ner.model.tok2vec"
CANARY = "Merkel"


def entities(docs):
    return [{(ent.text, ent.label_) for ent in doc.ents} for doc in docs]


def load(folder, name, backend=None, block=BLOCK):
    config = {f"{block}.precision": name, f"{block}.backend": backend}
    return spacy.load(folder, config=config)


# Settings


def test_settings_are_completed():
    assert make_precision("float32") == ("float32", "torch")
    assert make_precision("float32", "onnxruntime") == ("float32", "onnxruntime")
    assert make_precision("bfloat16") == ("bfloat16", "torch")
    assert make_precision("int8") == ("int8", "onnxruntime")
    assert make_precision("float32").is_plain
    assert not make_precision("float32", "onnxruntime").is_plain


@pytest.mark.parametrize(
    ("name", "backend", "allowed"),
    [
        ("int4", None, '"float32", "bfloat16", "int8"'),
        ("int8", "torch", 'null, "onnxruntime"'),
        ("bfloat16", "onnxruntime", 'null, "torch"'),
        ("float32", "openvino", 'null, "torch", "onnxruntime"'),
    ],
)
def test_settings_that_cannot_be(name, backend, allowed):
    with pytest.raises(ValueError, match="is not valid") as error:
        make_precision(name, backend)
    assert allowed in str(error.value)


def test_what_the_processor_can_do(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "CPUINFO", info)
    assert processor_flags() == set()
    info.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n")
    assert processor_flags() == {"fpu", "avx2", "avx_vnni"}
    precision.warn_of_processor(make_precision("int8"))
    precision.warn_of_processor(make_precision("float32", "onnxruntime"))
    with pytest.warns(UserWarning, match="lacks avx512_bf16 or amx_bf16"):
        precision.warn_of_processor(make_precision("bfloat16"))


# Products in 8 bits


def by_hand(rows, weight, outliers, least=None):
    """RETURNS (Floats2d): What the graph should compute, in numpy: 8-bit codes of each row
    and each column, outlying channels apart."""
    kept, few = rows.copy(), weight[outliers]
    kept[:, outliers] = 0
    weight = weight.copy()
    weight[outliers] = 0
    steps = numpy.abs(weight).max(0) / 127
    codes = numpy.rint(weight / steps)
    if least is None:
        step = numpy.abs(kept).max(1, keepdims=True) / 127
        found = numpy.rint(kept / step) * step
    else:
        step = (kept - least).max(1, keepdims=True) / 255
        found = numpy.rint((kept - least) / step) * step + least
    return found @ (codes * steps) + rows[:, outliers] @ few


def make_linear(seed=0):
    generator = numpy.random.default_rng(seed)
    weight = generator.normal(size=(96, 64)).astype("float32")
    linear = torch.nn.Linear(96, 64, bias=False)
    linear.weight.data = torch.from_numpy(weight.T.copy())
    return generator, weight, linear


@pytest.mark.parametrize("outliers", [[], [5, 70]])
def test_products_in_8_bits_by_hand(outliers):
    generator, weight, linear = make_linear()
    rows = generator.normal(size=(4, 10, 96)).astype("float32")
    rows[..., outliers] *= 40
    graph = make_graph(linear, [torch.from_numpy(rows)], Precision("int8", "onnxruntime"))
    found = OnnxModule(graph)(torch.from_numpy(rows)).numpy().reshape(40, 64)
    flat = rows.reshape(40, 96)
    expected = by_hand(flat.astype("float64"), weight.astype("float64"), outliers)
    # A value at the border of two codes may fall to either in single precision.
    assert numpy.median(numpy.abs(found - expected)) < 1e-4
    exact = flat @ weight
    assert numpy.abs(found - exact).max() < 0.02 * numpy.abs(exact).max()


def test_what_gelu_returns_is_given_all_256_codes():
    generator, weight, linear = make_linear()
    rows = generator.normal(size=(4, 10, 96)).astype("float32")
    rows = torch.nn.functional.gelu(torch.from_numpy(rows))
    graph = make_graph(linear, [rows], Precision("int8", "onnxruntime"))
    found = OnnxModule(graph)(rows).numpy().reshape(40, 64)
    flat = rows.numpy().reshape(40, 96).astype("float64")
    expected = by_hand(flat, weight.astype("float64"), [], onnx_graph.GELU_LEAST)
    assert numpy.median(numpy.abs(found - expected)) < 1e-4


def test_small_values_are_not_taken_for_those_of_gelu():
    generator, weight, linear = make_linear()
    sample = torch.from_numpy(generator.uniform(-0.1, 0.1, (4, 10, 96)).astype("float32"))
    graph = make_graph(linear, [sample], Precision("int8", "onnxruntime"))
    # Ten times as large as the samples, and below zero.
    rows = -10 * sample.abs()
    exact = (rows @ torch.from_numpy(weight)).numpy()
    error = numpy.abs(OnnxModule(graph)(rows).numpy() - exact).max()
    assert error < 0.02 * numpy.abs(exact).max()


def test_a_row_does_not_depend_on_the_others():
    generator, _, linear = make_linear()
    rows = torch.from_numpy(generator.normal(size=(3, 7, 96)).astype("float32"))
    module = OnnxModule(make_graph(linear, [rows], Precision("int8", "onnxruntime")))
    rows[1] *= 1000
    together = module(rows)
    for i in range(3):
        assert torch.equal(together[i], module(rows[i : i + 1])[0])
    assert not torch.isnan(module(torch.zeros(1, 2, 96))).any()


SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"intermediate_size": 128, "vocab_size": 300}
DEBERTA = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
DEBERTA |= {"position_buckets": 16, "share_att_key": True}
KINDS = {
    "bert": SMALL,
    "roberta": SMALL,
    "electra": SMALL,
    "deberta-v2": SMALL | DEBERTA,
    "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 2, "vocab_size": 300},
}


def make_kind(kind):
    """RETURNS: An encoder with random weights, and pieces and a mask for it."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **KINDS[kind])
    hf = transformers.AutoModel.from_config(config).eval()
    ids = torch.randint(5, 300, (3, 21))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    return hf, ids, mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "most"), [("float32", 1e-5), ("int8", 0.05)])
def test_kinds_of_encoders(kind, name, most):
    hf, ids, mask = make_kind(kind)
    reduced = reduce_encoder(hf, Precision(name, "onnxruntime"), None)
    with torch.no_grad():
        exact = hf(input_ids=ids, attention_mask=mask)[0]
    found = reduced(input_ids=ids, attention_mask=mask, return_dict=True)[0]
    assert torch.isfinite(found).all()
    real = mask.bool()
    error = (found - exact)[real].norm() / exact[real].norm()
    assert error < most


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_encoders_in_bfloat16(kind):
    hf, ids, mask = make_kind(kind)
    reduced = reduce_encoder(hf, make_precision("bfloat16"), None)
    dtypes = set()
    for module in reduced.modules():
        if isinstance(module, precision.Bfloat16Linear):
            module.register_forward_hook(lambda _, __, found: dtypes.add(found.dtype))
    with torch.inference_mode():
        exact = hf(input_ids=ids, attention_mask=mask)[0]
        found = reduced(input_ids=ids, attention_mask=mask, return_dict=True)[0]
        alone = reduced(input_ids=ids[:1, :9], attention_mask=mask[:1, :9])[0]
    assert found.dtype == torch.float32
    # Nothing is cast to and fro between attention and the layers around it.
    own_attention = kind in ("deberta-v2", "electra")
    assert dtypes == {torch.float32 if own_attention else torch.bfloat16}
    real = mask.bool()
    assert (found - exact)[real].norm() < 0.01 * exact[real].norm()
    assert (found[0, :9] - alone[0]).norm() < 0.01 * alone[0].norm()
    # The weights are as they were.
    assert {x.dtype for x in hf.parameters()} == {torch.float32}


def test_an_encoder_that_cannot_be_written():
    class Odd(torch.nn.Module):
        def forward(self, rows):
            raise NotImplementedError

    with pytest.raises(
        ValueError, match="A Odd can't be written as an ONNX graph .NotImplementedError"
    ):
        make_graph(Odd(), [torch.zeros(1, 2, 3)], Precision("int8", "onnxruntime"))


def test_samples_are_always_the_same():
    config = transformers.AutoConfig.for_model("bert", **SMALL)
    hf = transformers.AutoModel.from_config(config)
    first, second = make_samples(hf), make_samples(hf)
    assert torch.equal(first[0], second[0])
    assert first[0].shape == (64, 32)
    assert first[0].max() < 300


# The encoder


@pytest.mark.parametrize(("name", "backend"), WAYS)
def test_the_encoder_finds_the_same(trained_transformer, name, backend):
    nlp = load(trained_transformer, name, backend)
    docs = list(nlp.pipe(TEXTS))
    assert entities(docs) == gold_entities()
    plain = list(spacy.load(trained_transformer).pipe(TEXTS))
    most = 1e-4 if name == "float32" else 0.05
    for a, b in zip(docs, plain, strict=True):
        for x, y in zip(a.ents, b.ents, strict=True):
            assert x._.ner_score == pytest.approx(y._.ner_score, abs=most)
    alone = [nlp(text) for text in TEXTS]
    assert entities(alone) == entities(docs)


@pytest.mark.parametrize(("name", "backend"), WAYS)
def test_the_encoder_survives_saving(
    trained_transformer, tmp_path, monkeypatch, name, backend
):
    load(trained_transformer, name, backend).to_disk(tmp_path / "model")
    # The graph is saved, so that what writes graphs need not be installed.
    monkeypatch.delitem(sys.modules, "ner_components.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    nlp = spacy.load(tmp_path / "model")
    shim = nlp.get_pipe("ner").model.get_ref("tok2vec").shims[0]
    assert shim.predictor.precision.name == name
    assert entities(nlp.pipe(TEXTS)) == gold_entities()
    # The weights are as they were, and so is what they find.
    back = load(tmp_path / "model", "float32")
    scores = [[x._.ner_score for x in doc.ents] for doc in back.pipe(TEXTS)]
    plain = spacy.load(trained_transformer)
    assert scores == [[x._.ner_score for x in doc.ents] for doc in plain.pipe(TEXTS)]


def test_what_writes_graphs_is_missing(trained_transformer, monkeypatch):
    monkeypatch.delitem(sys.modules, "ner_components.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"ner_components\[onnx\]"):
        load(trained_transformer, "int8")(TEXTS[0])


def test_onnx_runtime_is_missing(trained_transformer, tmp_path, monkeypatch):
    load(trained_transformer, "int8").to_disk(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"ner_components\[onnx\]"):
        spacy.load(tmp_path)(TEXTS[0])


def test_another_precision_than_the_saved_one(trained_transformer, tmp_path):
    load(trained_transformer, "int8").to_disk(tmp_path)
    nlp = load(tmp_path, "float32", "onnxruntime")
    exact, found = (
        x.get_pipe("ner").tag_scores([x.make_doc(TEXTS[0])])[0]
        for x in (spacy.load(trained_transformer), nlp)
    )
    assert numpy.abs(exact - found).max() < 1e-3


def test_training_goes_on_in_float32(trained_transformer):
    nlp = load(trained_transformer, "int8")
    ner = nlp.get_pipe("ner")
    docs = [nlp.make_doc(text) for text in TEXTS]
    before = ner.tag_scores(docs)[0]
    examples = make_examples(nlp)
    optimizer = nlp.resume_training()
    nlp.update(examples, sgd=optimizer, drop=0.0)
    shim = ner.model.get_ref("tok2vec").shims[0]
    assert shim.predictor.module is None
    assert {x.dtype for x in shim._model.parameters()} == {torch.float32}
    # What predicts is made of the new weights.
    assert numpy.abs(ner.tag_scores(docs)[0] - before).max() > 0.01


@pytest.mark.parametrize("name", ["bfloat16", "int8"])
def test_processes_and_threads(trained_transformer, name):
    """With a session of two threads, which a forked worker has not."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    nlp = load(trained_transformer, name)
    expected = gold_entities()
    assert entities(nlp.pipe(TEXTS)) == expected
    assert entities(nlp.pipe(TEXTS, n_process=2, batch_size=2)) == expected
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: entities(nlp.pipe(TEXTS)), range(8)):
            assert found == expected
    torch.set_num_threads(threads)


def test_a_graph_is_pickled_without_its_session(trained_transformer):
    nlp = load(trained_transformer, "int8")
    nlp(TEXTS[0])
    module = nlp.get_pipe("ner").model.get_ref("tok2vec").shims[0].predictor.module.hf
    again = pickle.loads(pickle.dumps(module))
    ids = torch.ones((1, 4), dtype=torch.int64)
    assert torch.equal(again(ids, ids)[0], module(ids, ids)[0])


def test_a_checkpoint(trained_transformer, tmp_path):
    """HFTokenClassifier.v1 has the setting too; its narrow last layer stays as it is."""
    config = transformers.AutoConfig.for_model(
        "bert", **SMALL, id2label={0: "O", 1: "B-PERSON", 2: "I-PERSON"}
    )
    torch.manual_seed(0)
    hf = transformers.AutoModelForTokenClassification.from_config(config).eval()
    ids = torch.randint(5, 300, (2, 9))
    graph = make_graph(
        precision._FirstOutput(hf), make_samples(hf), Precision("int8", "onnxruntime")
    )
    kinds = [node.op_type for node in onnx_graph.onnx.load_from_string(graph).graph.node]
    # Six of each layer; attention's own two and the last layer multiply in float32.
    assert kinds.count("MatMulInteger") == 12
    with torch.no_grad():
        exact = hf(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
    found = OnnxModule(graph)(ids, torch.ones_like(ids))
    assert (found - exact).abs().max() < 0.02


# GLiNER


@pytest.mark.parametrize(("name", "backend"), WAYS)
def test_gliner_finds_the_same(trained_gliner, tmp_path, name, backend):
    nlp = load(trained_gliner, name, backend, "components.ner.model")
    docs = list(nlp.pipe(TEXTS))
    assert entities(docs) == gold_entities()
    plain = list(spacy.load(trained_gliner).pipe(TEXTS))
    most = 1e-4 if name == "float32" else 0.1
    for a, b in zip(docs, plain, strict=True):
        for x, y in zip(a.ents, b.ents, strict=True):
            assert x._.ner_score == pytest.approx(y._.ner_score, abs=most)
    nlp.to_disk(tmp_path / "model")
    again = spacy.load(tmp_path / "model")
    scores = [[x._.ner_score for x in doc.ents] for doc in docs]
    found = [[x._.ner_score for x in doc.ents] for doc in again.pipe(TEXTS)]
    assert found == scores
    graphs = again.get_pipe("ner").model.shims[0].predictor.graphs
    parts = {"encoder", "projection", "ends"} if name != "bfloat16" else set()
    assert set(graphs) == parts
    back = load(tmp_path / "model", "float32", None, "components.ner.model")
    assert entities(back.pipe(TEXTS)) == gold_entities()


def test_gliner_learns_in_float32(trained_gliner):
    nlp = load(trained_gliner, "int8", None, "components.ner.model")
    shim = nlp.get_pipe("ner").model.shims[0]
    list(nlp.pipe(TEXTS))
    old = shim.predictor.module
    nlp.update(make_examples(nlp), sgd=nlp.resume_training())
    assert shim.predictor.module is None
    list(nlp.pipe(TEXTS))
    assert shim.predictor.module is not old


# The command


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    path = tmp_path_factory.mktemp("dev") / "dev.spacy"
    examples = make_examples(spacy.blank("en"))
    DocBin(docs=[eg.reference for eg in examples]).to_disk(path)
    return path


def run(*arguments):
    return CliRunner().invoke(ner_cli, ["optimize", *map(str, arguments)])


@pytest.mark.parametrize("name", ["bfloat16", "int8"])
def test_the_command_saves_a_pipeline_with_its_figures(
    trained_transformer, dev, tmp_path, name
):
    result = run(trained_transformer, tmp_path / "fast", "--dev", dev, "--precision", name)
    assert result.exit_code == 0, result.output
    assert CANARY not in result.output
    nlp = spacy.load(tmp_path / "fast")
    assert entities(nlp.pipe(TEXTS)) == gold_entities()
    assert nlp.config["components"]["ner"]["model"]["tok2vec"]["precision"] == name
    meta = srsly.read_json(tmp_path / "fast" / "meta.json")[META_KEY]
    assert (meta["name"], meta["backend"]) == make_precision(name)
    figures = meta["pipes"]["ner"]
    assert figures["documents"] == len(SENTENCES)
    assert figures["ents_f"] == {"before": 1.0, "after": 1.0}
    assert (figures["unchanged"], figures["added"]) == (1.0, 0)
    entities_of_all = sum(map(len, gold_entities()))
    expected = {"texts": len(SENTENCES), "entities": entities_of_all, "unstable": 0}
    assert figures["neighbours"] == expected
    assert figures["ece"]["before"] == pytest.approx(figures["ece"]["after"], abs=0.05)


def test_the_command_refuses_a_loss(trained_transformer, dev, tmp_path, monkeypatch):
    """Planted: a graph of an encoder whose weights are all zero finds nothing."""
    made = precision.make_graph

    def make_useless(module, samples, chosen):
        hf = type(module.encoder)(module.encoder.config, add_pooling_layer=False)
        for weight in hf.parameters():
            weight.data.zero_()
        return made(precision._FirstOutput(hf.eval()), samples, chosen)

    monkeypatch.setattr(precision, "make_graph", make_useless)
    result = run(trained_transformer, tmp_path / "fast", "--dev", dev, "--max-loss", "0.9")
    assert result.exit_code == 1
    assert "more F1 is lost than --max-loss 0.9" in result.output
    assert not (tmp_path / "fast").exists()
    (useless,) = optimize(
        str(trained_transformer), tmp_path / "slow", dev, "int8", max_loss=1.0
    )
    assert useless.before.micro.f == 1.0
    assert useless.loss == 1.0 - useless.after.micro.f
    assert useless.lost + useless.kept == sum(map(len, gold_entities()))
    assert (tmp_path / "slow").exists()


def test_the_command_and_bad_input(trained_transformer, dev, tmp_path):
    out = tmp_path / "out"
    empty = tmp_path / "empty.spacy"
    DocBin(docs=[spacy.blank("en")("Nobody came.")]).to_disk(empty)
    spacy.blank("en").to_disk(tmp_path / "blank")
    for arguments, message in [
        ((trained_transformer, out, "--dev", dev, "--precision", "int4"), "is not valid"),
        ((trained_transformer, out, "--dev", tmp_path / "none.spacy"), "there is no file"),
        ((trained_transformer, out, "--dev", empty), "has no entities"),
        ((tmp_path / "nothing", out, "--dev", dev), "it can't be loaded"),
        ((tmp_path / "blank", out, "--dev", dev), "has a precision to choose"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 1
        assert message in " ".join(result.output.split())
        assert not out.exists()


def test_blocks_with_a_precision_are_found(trained_transformer):
    assert find_settings(spacy.load(trained_transformer)) == {
        "ner": "components.ner.model.tok2vec"
    }
    nlp = spacy.blank("en")
    nlp.add_pipe("ner_gliner", name="zero", config={"labels": LABELS})
    assert find_settings(nlp) == {"zero": "components.zero.model"}
