"""The systems that the encoder benchmark compares: how each is trained, saved and loaded.

`hf` is plain token classification with transformers and a torch loop; every other system
is a spaCy pipeline described by a config and trained with spaCy's own loop. All of them get
the same backbone, sentences, batch size, epochs, learning rate schedule and weight decay,
compute in fp32 and keep the last weights.
"""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import spacy
import torch
from encoder_data import Sentence, Span, backbone_folder, read_split
from spacy.language import Language
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_nlp
from spacy.util import load_config
from spacy.vocab import Vocab
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

from ner_components.encoder.calibration import calibrate
from ner_components.encoder.component import NerEncoder

CONFIGS = Path(__file__).resolve().parent / "configs"
SPACY_CONFIGS = {
    "spacy": CONFIGS / "spacy_transformer.cfg",
    "ours": CONFIGS / "ner_encoder.cfg",
}
SYSTEMS = ("hf", *SPACY_CONFIGS)

BATCH_SIZE = 16
WARMUP = 0.1
WEIGHT_DECAY = 0.01
MAX_PIECES = 512
PREDICT_BATCH = 32
IGNORED = -100  # the label of word pieces that carry no loss


T = TypeVar("T")
WordPiece = tuple[int, int, int, int]  # text, word, row of the batch, piece in the row


@dataclass(frozen=True)
class Settings:
    """One training run. With a limit it sees the first sentences of each split only."""

    dataset: str
    seed: int
    lr: float
    epochs: int
    limit: int = 0

    def sentences(self, split: str) -> list[Sentence]:
        """RETURNS (list[Sentence]): the split this run is to use."""
        return read_split(self.dataset, split)[: self.limit or None]

    @property
    def steps(self) -> int:
        """RETURNS (int): the number of updates of the whole run."""
        return self.epochs * -(-len(self.sentences("train")) // BATCH_SIZE)


class System(Protocol):
    """A trained system."""

    def predict(self, sentences: list[Sentence]) -> list[list[Span]]: ...

    def save(self, folder: Path) -> None: ...


def train_system(name: str, settings: Settings) -> System:
    """RETURNS (System): the named system, trained."""
    if name == "hf":
        return HFSystem.train(settings)
    return SpacySystem.train(SPACY_CONFIGS[name], settings)


def make_examples(nlp: Language, sentences: list[Sentence]) -> list[Example]:
    """RETURNS (list[Example]): bare documents, and the same with gold entities."""
    examples = []
    for sentence in sentences:
        gold = make_doc(nlp.vocab, sentence.tokens)
        gold.set_ents([SpacySpan(gold, a, b, label=label) for a, b, label in sentence.ents])
        examples.append(Example(make_doc(nlp.vocab, sentence.tokens), gold))
    return examples


class SpacySystem:
    """A spaCy pipeline."""

    def __init__(self, nlp: Language) -> None:
        self.nlp = nlp

    @classmethod
    def train(cls, config_path: Path, settings: Settings) -> Self:
        """Train what a config describes; it finds the backbone in `paths.backbone`."""
        schedule = "training.optimizer.learn_rate"
        overrides: dict[str, Any] = {
            "paths.backbone": str(backbone_folder()),
            "system.seed": settings.seed,
            "training.max_epochs": settings.epochs,
            f"{schedule}.initial_rate": settings.lr,
            f"{schedule}.warmup_steps": int(WARMUP * settings.steps),
            f"{schedule}.total_steps": settings.steps,
        }
        for corpus in ("train", "dev"):
            overrides[f"corpora.{corpus}.dataset"] = settings.dataset
            overrides[f"corpora.{corpus}.limit"] = settings.limit
        nlp = init_nlp(load_config(config_path, overrides=overrides, interpolate=False))
        nlp, _ = train_nlp(nlp, None, stdout=sys.stderr)
        # What the shipped configs do in before_to_disk.
        for _, pipe in nlp.pipeline:
            if isinstance(pipe, NerEncoder):
                calibrate(pipe, make_examples(nlp, settings.sentences("dev")))
        return cls(nlp)

    def predict(self, sentences: list[Sentence]) -> list[list[Span]]:
        docs = self.nlp.pipe(make_doc(self.nlp.vocab, s.tokens) for s in sentences)
        return [[(ent.start, ent.end, ent.label_) for ent in doc.ents] for doc in docs]

    def save(self, folder: Path) -> None:
        self.nlp.to_disk(folder)


class HFSystem:
    """Token classification as transformers' examples do it: IOB2 labels on the first word
    piece of each word, and argmax. An I- that continues no entity of its label starts one,
    as in seqeval's default reading. A sentence of more than 512 pieces goes on in another
    row of the batch: the examples cut it off there, but the other systems do not."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @classmethod
    def train(cls, settings: Settings) -> Self:
        """Train with AdamW, gradients clipped at norm 1."""
        random.seed(settings.seed)
        torch.manual_seed(settings.seed)
        sentences = settings.sentences("train")
        types = sorted({label for sentence in sentences for _, _, label in sentence.ents})
        tags = ["O", *(f"{prefix}-{label}" for label in types for prefix in "BI")]
        model = AutoModelForTokenClassification.from_pretrained(
            backbone_folder(),
            id2label=dict(enumerate(tags)),
            label2id={tag: i for i, tag in enumerate(tags)},
        )
        system = cls(model, AutoTokenizer.from_pretrained(backbone_folder()))
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.lr, weight_decay=WEIGHT_DECAY, fused=True
        )
        schedule = get_linear_schedule_with_warmup(
            optimizer, int(WARMUP * settings.steps), settings.steps
        )
        model.train()
        for step, batch in enumerate(_shuffled_batches(sentences, settings.epochs)):
            loss = system._backward(batch)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if step % 50 == 0:
                print(f"step {step} of {settings.steps}: loss {loss:.3f}", file=sys.stderr)
        return system

    def _backward(self, batch: list[Sentence]) -> float:
        """Add up the gradient of a batch's mean loss over quarters of it, sorted by length:
        the same gradient as in one go, with less padding to compute.

        RETURNS (float): the loss.
        """
        ordered = sorted(batch, key=lambda sentence: len(sentence.tokens))
        encoded = [self._label_pieces(part) for part in _chunks(ordered, BATCH_SIZE // 4)]
        n_words = sum(int((labels != IGNORED).sum()) for _, labels in encoded)
        total = 0.0
        for inputs, labels in encoded:
            logits = self.model(**inputs).logits
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1),
                labels.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
            (loss / n_words).backward()
            total += loss.item() / n_words
        return total

    def _encode(self, words: list[list[str]]) -> tuple[Any, list[WordPiece]]:
        """RETURNS (tuple): the model's inputs, and where the texts' words begin in them."""
        inputs = self.tokenizer(
            words,
            is_split_into_words=True,
            truncation=True,
            max_length=MAX_PIECES,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        texts = inputs.pop("overflow_to_sample_mapping").tolist()
        pieces = [
            (text, word, row, piece)
            for row, text in enumerate(texts)
            for word, piece in first_pieces(inputs.word_ids(row))
        ]
        return inputs, pieces

    def _label_pieces(self, sentences: list[Sentence]) -> tuple[Any, torch.Tensor]:
        """RETURNS (tuple): the model's inputs, and the gold labels of the word pieces."""
        inputs, pieces = self._encode([sentence.tokens for sentence in sentences])
        tags = [spans_to_tags(s.ents, len(s.tokens)) for s in sentences]
        labels = torch.full(inputs["input_ids"].shape, IGNORED)
        for text, word, row, piece in pieces:
            labels[row, piece] = self.model.config.label2id[tags[text][word]]
        return inputs, labels

    @torch.inference_mode()
    def predict(self, sentences: list[Sentence]) -> list[list[Span]]:
        self.model.eval()
        tags = [["O"] * len(sentence.tokens) for sentence in sentences]
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i].tokens))
        for batch in _chunks(order, PREDICT_BATCH):
            inputs, pieces = self._encode([sentences[i].tokens for i in batch])
            best = self.model(**inputs).logits.argmax(-1).tolist()
            # Backwards: of a word that a row's end cuts, the first piece decides.
            for text, word, row, piece in reversed(pieces):
                tags[batch[text]][word] = self.model.config.id2label[best[row][piece]]
        return [tags_to_spans(sentence_tags) for sentence_tags in tags]

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


@spacy.registry.readers("ner_benchmark.Sentences.v1")
def make_reader(
    dataset: str, split: str, limit: int = 0
) -> Callable[[Language], Iterator[Example]]:
    """Read a split with the corpus's own tokens, so that no tokeniser moves a boundary."""

    def read(nlp: Language) -> Iterator[Example]:
        yield from make_examples(nlp, read_split(dataset, split)[: limit or None])

    return read


def make_doc(vocab: Vocab, words: list[str]) -> Doc:
    """RETURNS (Doc): the words, joined by single spaces."""
    return Doc(vocab, words=words)


def first_pieces(word_ids: list[int | None]) -> Iterator[tuple[int, int]]:
    """YIELDS (tuple[int, int]): each word that has pieces, and its first piece."""
    previous = None
    for piece, word in enumerate(word_ids):
        if word is not None and word != previous:
            yield word, piece
        previous = word


def spans_to_tags(spans: list[Span], length: int) -> list[str]:
    """RETURNS (list[str]): the spans as IOB2 tags."""
    tags = ["O"] * length
    for start, end, label in spans:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def tags_to_spans(tags: list[str]) -> list[Span]:
    """RETURNS (list[Span]): the entities of IOB2 tags, stray I- read as B-."""
    spans: list[Span] = []
    for i, tag in enumerate(tags):
        prefix, _, label = tag.partition("-")
        if prefix == "I" and spans and spans[-1][1:] == (i, label):
            spans[-1] = (spans[-1][0], i + 1, label)
        elif prefix != "O":
            spans.append((i, i + 1, label))
    return spans


def _shuffled_batches(sentences: list[Sentence], epochs: int) -> Iterator[list[Sentence]]:
    sentences = list(sentences)
    for _ in range(epochs):
        random.shuffle(sentences)
        yield from _chunks(sentences, BATCH_SIZE)


def _chunks(items: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
