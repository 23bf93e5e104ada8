"""The formats of annotated text, and one way to read any of them.

    for doc, cut in read_corpus("train.conll", nlp):
        ...

`format="auto"` looks at the first lines and never guesses: where two formats look alike,
it names them and asks.
"""

from collections import Counter
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
    Union,
)

from spacy.language import Language
from spacy.tokens import DocBin

from ..errors import Errors
from .conll import Columns, read_conll
from .detect import detect_format
from .detokenize import to_text
from .files import Notes, list_files, note
from .jsonl import read_jsonl
from .mapping import LabelMapping
from .markup import read_markup
from .multinerd import read_multinerd
from .offsets import Entity
from .ontonotes import read_document_ids, read_ontonotes
from .sentences import Annotated, join_documents
from .tag_ids import NAMES_FILES, read_tags

NOT_READ = "file of another kind in the folder: not read"
NOT_FOUND = "listed document that gave nothing: not there, or dropped"
NO_ID = "sentence without a document id: a document of its own"
# Universal NER (.iob2): number, token, tag, and columns about the annotation.
UNER_COLUMNS = Columns(token=1, tag=2, index=0)

Reader = Callable[..., Iterator[Annotated]]


class Format(NamedTuple):
    """A format of annotated text.

    name (str): What `format` and `--format` call it.
    extensions (Tuple[str, ...]): How its file names end, `.gz` left out.
    reader (Reader): Called with a path, an nlp object, `notes` and the options.
    options (Tuple[str, ...]): The options the reader takes.
    description (str): One line for people.
    """

    name: str
    extensions: Tuple[str, ...]
    reader: Reader
    options: Tuple[str, ...]
    description: str


def read_docbin(
    path: Union[str, Path], nlp: Language, *, notes: Notes = None
) -> Iterator[Annotated]:
    """Read spaCy's own binary format.

    path (Union[str, Path]): A `.spacy` file.
    nlp (Language): Its vocabulary is used.
    notes (Optional[Counter[str]]): Not used: nothing is dropped.
    YIELDS (Tuple[Doc, List[Entity]]): Each document, and an empty list.
    RAISES (ValueError): It is not such a file.
    """
    try:
        docs = DocBin().from_disk(path)
    except Exception as e:  # zlib, msgpack: whatever they raise, it is not a DocBin
        remedy = "Make it again with `python -m spacy ner convert`."
        problem = f"not a .spacy file ({type(e).__name__})"
        message = Errors.N075.format(path=path, problem=problem, remedy=remedy)
        raise ValueError(message) from None
    for doc in docs.get_docs(nlp.vocab):
        yield doc, []


def _read_gold(path: Path, nlp: Language, *, notes: Notes = None) -> Iterator[Annotated]:
    return (document.to_doc(nlp) for document in read_markup(path))


def _read_uner(path: Path, nlp: Language, **options: Any) -> Iterator[Annotated]:
    return read_conll(path, nlp, columns=UNER_COLUMNS, **options)


def _jsonl(name: Optional[str]) -> Reader:
    def read(path: Path, nlp: Language, **options: Any) -> Iterator[Annotated]:
        return read_jsonl(path, nlp, format=name, **options)

    return read


_JSON = (".jsonl", ".json")
_FORMATS = (
    Format(
        "conll",
        (".conll", ".txt", ".tsv", ".iob", ".iob2", ".bio", ".annotated"),
        read_conll,
        ("scheme",),
        "A token per line, its tag in the last column: CoNLL-2003, WNUT-17, CrossNER",
    ),
    Format(
        "uner",
        (".iob2", ".conllu", ".tsv"),
        _read_uner,
        ("scheme",),
        "A token per line: number, token, tag, any more columns: Universal NER",
    ),
    Format(
        "ontonotes",
        (".name", "gold_conll", "gold_skel", *_JSON),
        read_ontonotes,
        ("documents_list",),
        "OntoNotes 5.0: .name, gold_conll, tner/ontonotes5, conll2012_ontonotesv5",
    ),
    Format(
        "multinerd",
        (".tsv", *_JSON),
        read_multinerd,
        ("label_order", "languages"),
        "MultiNERD: TSV, or JSON lines in the order of Babelscape or of tner",
    ),
    Format(
        "tags",
        _JSON,
        read_tags,
        (),
        'JSON lines {"tokens", "tags"}: names, or numbers named by a file beside it',
    ),
    Format(
        "jsonl",
        _JSON,
        _jsonl(None),
        ("units",),
        "JSON lines in any of the five forms below, told by the fields of each record",
    ),
    Format("tokens", _JSON, _jsonl("tokens"), (), 'JSON lines {"tokens", "ents"}'),
    Format("spacy", _JSON, _jsonl("spacy"), ("units",), 'JSON lines {"text", "spans"}'),
    Format("prodigy", _JSON, _jsonl("prodigy"), ("units",), "JSON lines out of Prodigy"),
    Format("doccano", _JSON, _jsonl("doccano"), ("units",), "JSON lines out of doccano"),
    Format(
        "labelstudio",
        _JSON,
        _jsonl("labelstudio"),
        ("units",),
        "JSON or JSON lines out of Label Studio",
    ),
    Format("markup", (".txt",), _read_gold, (), "Text with [[marked|LABEL]] names in it"),
    Format("docbin", (".spacy",), read_docbin, (), "spaCy's binary format"),
)
FORMATS: Dict[str, Format] = {x.name: x for x in _FORMATS}


def read_corpus(
    path: Union[str, Path],
    nlp: Language,
    *,
    format: str = "auto",
    notes: Notes = None,
    documents: bool = False,
    detokenize: bool = False,
    hyphens: bool = False,
    mapping: Union[str, Path, None] = None,
    documents_list: Union[str, Path, None] = None,
    **options: Any,
) -> Iterator[Annotated]:
    """Read annotated text in any format.

    path (Union[str, Path]): A file, plain or gzipped, or a folder, which is read file by
        file, sorted, with the folders in it.
    nlp (Language): Its vocabulary, and its tokenizer where the format holds plain text.
    format (str): A name of `FORMATS`, or "auto".
    notes (Optional[Counter[str]]): What is dropped or repaired is added, by reason.
    documents (bool): Join sentences that name one document into it, as its sentences.
    detokenize (bool): Make running text of the tokens and tokenise it with `nlp`, as the
        text of users will be; see `corpora.detokenize`.
    hyphens (bool): With it: the corpus splits words at hyphens, as OntoNotes does.
    mapping (Union[str, Path, None]): Labels to other labels: a file, or the name of one
        that comes with the package; see `corpora.mapping`.
    documents_list (Union[str, Path, None]): See `read_document_ids`: only these are kept.
    options (Any): Options of the reader: scheme, label_order, languages, units. `None`
        for its default.
    YIELDS (Tuple[Doc, List[Entity]]): Each document or sentence with `doc.ents` set, and
        its entities that could not be set. `doc.user_data` has "id" and "lang" where the
        source names them.
    RAISES (ValueError): A line that can't be read, with its number; a format that is
        unknown or can't be told; no document.
    """
    notes = Counter() if notes is None else notes
    wanted = None if documents_list is None else read_document_ids(documents_list)
    chosen = {key: value for key, value in options.items() if value is not None}
    if wanted is not None:
        chosen["documents_list"] = wanted
    labels = None if mapping is None else LabelMapping.load(mapping)
    docs = _read_files(Path(path), nlp, format, notes, chosen)
    seen: Set[Any] = set()
    for doc, cut in join_documents(docs) if documents else docs:
        source = doc.user_data.get("id")
        note(notes, NO_ID, documents and source is None)
        seen.add(source)
        if labels is not None:
            doc = labels.apply(doc, notes)
            cut = _map_entities(cut, labels)
        if detokenize:
            doc, lost = to_text(doc, nlp, notes, hyphens=hyphens)
            cut = [*cut, *lost]
        yield doc, cut
    note(notes, NOT_FOUND, 0 if wanted is None else len(wanted - seen))
    if not seen:
        reasons = (
            ", ".join(f"{reason}: {n}" for reason, n in notes.items()) or "it is empty"
        )
        raise ValueError(Errors.N076.format(path=path, reasons=reasons))


def _map_entities(entities: List[Entity], labels: LabelMapping) -> List[Entity]:
    mapped = [(x.start_char, x.end_char, labels.map(x.label)) for x in entities]
    return [Entity(a, b, label) for a, b, label in mapped if label is not None]


def _read_files(
    path: Path, nlp: Language, format: str, notes: Counter[str], options: Dict[str, Any]
) -> Iterator[Annotated]:
    if format != "auto" and format not in FORMATS:
        allowed = ", ".join(["auto", *FORMATS])
        raise ValueError(Errors.N072.format(name="format", value=format, allowed=allowed))
    for file in _files(path, format, notes):
        chosen = FORMATS[detect_format(file, list(FORMATS)) if format == "auto" else format]
        for option in options:
            if option not in chosen.options:
                raise ValueError(Errors.N074.format(format=chosen.name, option=option))
        yield from chosen.reader(file, nlp, notes=notes, **options)


def _files(path: Path, format: str, notes: Counter[str]) -> List[Path]:
    if not path.is_dir():
        return [path]
    formats = FORMATS.values() if format == "auto" else [FORMATS[format]]
    ends = {end for x in formats for end in x.extensions}
    found, others = list_files(path, ends)
    files = [x for x in found if x.name not in NAMES_FILES]
    # The skeletons of gold_conll files lie beside them.
    full = [x for x in files if "gold_skel" not in x.name]
    others += len(files) - len(full) if full else 0
    files = full or files
    if not files:
        raise ValueError(Errors.N071.format(path=path))
    note(notes, NOT_READ, others)
    # .name and gold_conll files of one release hold the same sentences.
    kinds = {file.name.removesuffix(".gz").rpartition(".")[2] for file in files}
    if len(kinds) > 1:
        names = ", ".join(sorted(kinds))
        raise ValueError(Errors.N077.format(path=path, kinds=names))
    return files
