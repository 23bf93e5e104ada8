"""Which tokens carry a tag."""

import re

import numpy
from spacy.attrs import IS_SPACE
from spacy.tokens import Doc

from ..types import Ints1d

# Control and format characters, joiners, variation selectors, combining marks: an encoder
# has no piece for a token made of these alone (U+200B, U+FE0F), as for white space.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\u00ad\u0300-\u036f\u061c"
    "\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffc"
    "\U000e0000-\U000e0fff]"
)
_ONLY_INVISIBLE = re.compile(f"(?:{_INVISIBLE.pattern})*")


def taggable(doc: Doc) -> Ints1d:
    """Find the tokens that carry a tag: all but white space and invisible characters.
    The others belong to an entity if it goes on behind them, and never begin or end one.

    doc (Doc): The document.
    RETURNS (Ints1d): Their numbers, in order.
    """
    kept = numpy.flatnonzero(doc.to_array(IS_SPACE) == 0)
    if _INVISIBLE.search(doc.text):
        kept = kept[[not _ONLY_INVISIBLE.fullmatch(doc[int(i)].text) for i in kept]]
    return kept
