"""`ner_components.GlinerSpacy.v1`: gliner-spacy's own component inside our contract, for
those who come from it and as a peer in comparisons.

What it does stays as it is: texts are cut every `chunk_size` characters, so an entity on
a cut is lost; documents go through the model one by one; the library's thresholding and
overlap resolution are on, so what they drop is no candidate; a word without word pieces
(U+200B, a joiner in an emoji) shifts the entities behind it. What differs: the model is
loaded by our loader and travels inside the pipeline, entities that cut a token are
rejected and counted, entities set before are kept.
"""

from functools import cache
from typing import Any, Callable, Dict, List, Optional, Tuple, cast

import numpy
from spacy.tokens import Doc
from thinc.api import Model

from ..errors import Errors
from ..precision import PLAIN
from .candidates import Found, Query
from .loader import Checkpoint
from .model import DEFAULT_NAME, GLiNERShim, init

STYLES = ("ent", "span")


def build_gliner_spacy(
    name: str = DEFAULT_NAME,
    revision: Optional[str] = None,
    device: Optional[str] = None,
    dtype: str = "float32",
    chunk_size: int = 250,
    style: str = "ent",
) -> Model[Query, List[Found]]:
    """Build a layer that runs gliner-spacy's component.

    name, revision, device, dtype: see `ner_components.gliner.model.build_gliner`.
    chunk_size (int): Characters after which a text is cut, at the next blank.
    style (str): As in gliner-spacy: "ent" for flat entities, "span" for nested ones.
    RETURNS (Model[Query, List[Found]]): Scored spans of each document.
    RAISES (ValueError): The style is another.
    RAISES (ImportError): gliner-spacy is not installed.
    """
    if style not in STYLES:
        allowed = ", ".join(STYLES)
        raise ValueError(
            Errors.N020.format(
                name="...model", setting="style", value=style, allowed=allowed
            )
        )
    _capture()
    return Model(
        "gliner_spacy",
        forward,
        init=init,
        attrs={"chunk_size": chunk_size, "style": style},
        shims=[GLiNERShim(Checkpoint(name, revision), device, dtype, PLAIN)],
    )


def forward(
    model: Model, query: Query, is_train: bool
) -> Tuple[List[Found], Callable[[List[Found]], Query]]:
    """Find spans in documents, one by one.

    query (Query): Documents, prompts, floor.
    is_train (bool): Must be False: these spans carry no gradient.
    RETURNS (Tuple[List[Found], Callable]): Spans of each document, and no backprop.
    """
    shim = cast(GLiNERShim, model.shims[0])
    shim.load()
    component = _capture()(shim.gliner, query, **model.attrs)
    # The library pads and truncates with its one tokenizer, which threads can't share.
    with shim.lock:
        found = [_to_arrays(component(doc), query.prompts) for doc in query.docs]

    def backprop(d_found: List[Found]) -> Query:
        raise NotImplementedError

    return found, backprop


def _to_arrays(entities: List[Dict[str, Any]], prompts: List[str]) -> Found:
    columns = [[x[key] for x in entities] for key in ("start", "end")]
    starts, ends = (numpy.asarray(x, dtype="int64") for x in columns)
    numbers = [prompts.index(x["label"]) for x in entities]
    scores = numpy.asarray([x["score"] for x in entities], dtype="float64")
    return Found(starts, ends, numpy.asarray(numbers, dtype="int64"), scores, 0)


@cache
def _capture() -> Any:
    """RETURNS (type): gliner-spacy's component with a model put in, returning what it
    found instead of writing it."""
    try:
        from gliner_spacy.pipeline import GlinerSpacy
    except ImportError as e:
        raise ImportError(Errors.N130.format(package=e.name, extra="gliner-spacy")) from e

    class Capture(GlinerSpacy):
        def __init__(
            self, gliner: Any, query: Query, *, chunk_size: int, style: str
        ) -> None:
            # Not the parent's: that one asks the hub for the model.
            self.model = gliner
            self.labels = query.prompts
            self.threshold = query.floor
            self.chunk_size = chunk_size
            self.style = style

        def _create_entity_spans(self, doc: Doc, spans: List[Any]) -> List[Any]:
            return spans

    return Capture
