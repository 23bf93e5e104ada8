"""`ner_components.Corpus.v1`: a corpus in any format, straight from a training config."""

import warnings
from collections import Counter
from pathlib import Path
from typing import Callable, Iterator, List, Optional

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from ..errors import Warnings
from .formats import read_corpus


def make_corpus_reader(
    path: Path,
    format: str = "auto",
    documents: bool = False,
    detokenize: bool = False,
    hyphens: bool = False,
    mapping: Optional[str] = None,
    label_order: Optional[str] = None,
    documents_list: Optional[str] = None,
    languages: Optional[List[str]] = None,
    scheme: Optional[str] = None,
    units: Optional[str] = None,
    limit: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Make a reader of training or evaluation data, as `spacy.Corpus.v1` is for `.spacy`.

        [corpora.train]
        @readers = "ner_components.Corpus.v1"
        path = ${paths.train}
        format = "conll"

    path (Path): A file or folder in one of the formats (`corpora.formats`).
    format (str): Its name, or "auto" where the first lines tell it.
    documents (bool): Whole documents instead of one for each sentence.
    detokenize (bool): Train on running text, tokenised by the pipeline, instead of on the
        tokens of the corpus.
    hyphens (bool): With it: the corpus splits words at hyphens, as OntoNotes does.
    mapping (Optional[str]): Labels to other labels: a file or the name of a shipped one.
    label_order (Optional[str]): Of MultiNERD's tag numbers: "babelscape" or "tner".
    documents_list (Optional[str]): A file with the ids of the documents to keep.
    languages (Optional[List[str]]): Codes of the languages to keep.
    scheme (Optional[str]): Tag scheme of a file with a token per line.
    units (Optional[str]): What the offsets of JSON lines count: "code points", "utf-16"
        or "graphemes".
    limit (int): Give that many examples at most; 0 for all.
    RETURNS (Callable[[Language], Iterator[Example]]): The reader. References carry the
        entities, predictions the same tokens and nothing else. What was dropped or
        repaired is warned about once.
    """
    return CorpusReader(
        path,
        limit,
        format=format,
        documents=documents,
        detokenize=detokenize,
        hyphens=hyphens,
        mapping=mapping,
        label_order=label_order,
        documents_list=documents_list,
        languages=languages,
        scheme=scheme,
        units=units,
    )


class CorpusReader:
    """Reads a corpus, anew at each call.

    path (Path): The corpus.
    limit (int): Examples at most; 0 for all.
    options (object): Of `read_corpus`.
    notes (Counter[str]): What the last full reading dropped or repaired, by reason.
    """

    def __init__(self, path: Path, limit: int = 0, **options: object) -> None:
        self.path = path
        self.limit = limit
        self.options = options
        self.notes: Counter[str] = Counter()
        self._warned = False

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Read the corpus.

        nlp (Language): The pipeline that is trained: vocabulary and tokenizer.
        YIELDS (Example): Each document.
        RAISES (ValueError): See `read_corpus`.
        """
        notes: Counter[str] = Counter()
        docs = read_corpus(self.path, nlp, notes=notes, **self.options)  # type: ignore[arg-type]
        for number, (doc, cut) in enumerate(docs, 1):
            notes.update({"entity cut by the tokens: left out": len(cut)} if cut else {})
            yield Example(_without_annotation(doc), doc)
            if number == self.limit:
                return
        self.notes = notes
        self._warn()

    def _warn(self) -> None:
        if self.notes and not self._warned:
            found = ", ".join(f"{reason}: {n}" for reason, n in sorted(self.notes.items()))
            warnings.warn(Warnings.W070.format(path=self.path, notes=found))
            self._warned = True


def _without_annotation(doc: Doc) -> Doc:
    words = [token.text for token in doc]
    spaces = [bool(token.whitespace_) for token in doc]
    return Doc(doc.vocab, words=words, spaces=spaces)
