"""`python -m spacy ner convert`: annotated text in any format to spaCy's own."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Iterable, List, Optional, Union

import typer
from wasabi import msg


@dataclass
class Conversion:
    """What became of a corpus.

    documents (int): Documents (or sentences) written.
    entities (Counter[str]): Entities written, by label.
    notes (Counter[str]): What was dropped or repaired, by reason.
    cut (List[str]): Entities left out because they don't lie on token borders: document,
        characters and label.
    """

    documents: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    cut: List[str] = field(default_factory=list)


def convert(
    source: Union[str, Path],
    output: Union[str, Path],
    *,
    lang: str = "en",
    format: str = "auto",
    **options: Any,
) -> Conversion:
    """Write a corpus in spaCy's binary format. Ids, languages, and what else the source
    says of a document stay in `doc.user_data`.

    source (Union[str, Path]): A file or folder.
    output (Union[str, Path]): The `.spacy` file; its folder is made.
    lang (str): Language whose tokenizer is used where the source holds running text, and
        for detokenising where it names none.
    format (str): A name of `corpora.formats.FORMATS`, or "auto".
    options (Any): See `corpora.formats.read_corpus`.
    RETURNS (Conversion): What was written, and what was not.
    RAISES (ValueError): The source can't be read. Nothing is written then.
    """
    import spacy
    from spacy.tokens import DocBin

    from ..corpora.formats import read_corpus

    result = Conversion()
    docs = DocBin(store_user_data=True)
    found = read_corpus(
        source, spacy.blank(lang), format=format, notes=result.notes, **options
    )
    for number, (doc, cut) in enumerate(found):
        docs.add(doc)
        result.entities.update(ent.label_ for ent in doc.ents)
        where = doc.user_data.get("id", number)
        result.cut += [f"{where}, {x.start_char}-{x.end_char}, {x.label}" for x in cut]
    result.documents = len(docs)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    docs.to_disk(output)
    return result


def _list_formats(value: bool) -> None:
    if value:
        from ..corpora.formats import FORMATS

        msg.table([(x.name, x.description) for x in FORMATS.values()])
        raise typer.Exit()


def convert_cli(
    source: Annotated[Path, typer.Argument(help="File or folder to convert", exists=True)],
    output: Annotated[
        Path, typer.Argument(help="The .spacy file to write", dir_okay=False)
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="Format (--formats lists them); auto looks at the first lines",
        ),
    ] = "auto",
    lang: Annotated[
        str, typer.Option("--lang", "-l", help="Language, for text whose source names none")
    ] = "en",
    documents: Annotated[
        bool,
        typer.Option(
            "--documents", "-d", help="One Doc per document instead of per sentence"
        ),
    ] = False,
    detokenize: Annotated[
        bool,
        typer.Option(
            "--detokenize",
            "-D",
            help="Make running text and tokenize that, like users' text",
        ),
    ] = False,
    hyphens: Annotated[
        bool,
        typer.Option(
            "--hyphens", help="With -D: the corpus splits words at hyphens (OntoNotes)"
        ),
    ] = False,
    mapping: Annotated[
        Optional[str],
        typer.Option(
            "--mapping", "-m", help="Label mapping: a .json file or a shipped one's name"
        ),
    ] = None,
    label_order: Annotated[
        Optional[str],
        typer.Option(
            "--label-order", help="Of MultiNERD's tag numbers: babelscape or tner"
        ),
    ] = None,
    documents_list: Annotated[
        Optional[Path],
        typer.Option(
            "--documents-list",
            help="Ids of the OntoNotes documents to keep: file or folder",
            exists=True,
        ),
    ] = None,
    languages: Annotated[
        Optional[str],
        typer.Option("--languages", help="MultiNERD languages to keep, such as en,de"),
    ] = None,
    scheme: Annotated[
        Optional[str],
        typer.Option(
            "--scheme", help="Tag scheme, if you know: IOB1, IOB2, IO, IOBES or BILOU"
        ),
    ] = None,
    units: Annotated[
        Optional[str],
        typer.Option(
            "--units", help='What offsets count: "code points", utf-16 or graphemes'
        ),
    ] = None,
    formats: Annotated[
        bool,
        typer.Option(
            "--formats",
            help="List the formats and exit",
            is_eager=True,
            callback=_list_formats,
        ),
    ] = False,
) -> None:
    """Convert annotated text to spaCy's binary format, with nothing lost in silence."""
    try:
        result = convert(
            source,
            output,
            lang=lang,
            format=format,
            documents=documents,
            detokenize=detokenize,
            hyphens=hyphens,
            mapping=mapping,
            label_order=label_order,
            documents_list=documents_list,
            languages=languages and [x.strip() for x in languages.split(",")],
            scheme=scheme,
            units=units,
        )
    except (ValueError, ImportError) as e:
        msg.fail("Nothing was converted", str(e), exits=1)
    report(output, result)


def report(output: Path, result: Conversion) -> None:
    """Print what became of a corpus: counts, reasons and offsets, never its text.

    output (Path): The file that was written.
    result (Conversion): What `convert` returned.
    """
    labels = ", ".join(f"{label} {n}" for label, n in sorted(result.entities.items()))
    total = result.entities.total()
    msg.good(f"{output}: {result.documents} documents, {total} entities", labels)
    if result.notes:
        rows = [f"{n} x {reason}" for reason, n in sorted(result.notes.items())]
        msg.info("Dropped or repaired")
        _list(rows)
    if result.cut:
        msg.warn(f"Entities cut by the tokens: {len(result.cut)}")
        _list(result.cut)


def _list(lines: Iterable[str]) -> None:
    # wasabi would wrap them into one paragraph.
    for line in lines:
        typer.echo(f"  {line}")
