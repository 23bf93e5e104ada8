"""Whether scores mean what they say: reliability, ECE, Brier score and AUROC."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Dict, List, Optional, Tuple

import numpy

BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions with neighbouring scores.

    count (int): How many.
    score_sum (float): Sum of their scores.
    right (int): How many are right.

    >>> x = ReliabilityBin(count=4, score_sum=3.0, right=2)
    >>> x.score, x.accuracy, x.gap
    (0.75, 0.5, 0.25)
    """

    count: int
    score_sum: float
    right: int

    @property
    def score(self) -> float:
        """RETURNS (float): Mean score, 0 to 1."""
        return self.score_sum / self.count

    @property
    def accuracy(self) -> float:
        """RETURNS (float): Share of them that is right, 0 to 1."""
        return self.right / self.count

    @property
    def gap(self) -> float:
        """RETURNS (float): How much too sure they are, -1 to 1."""
        return self.score - self.accuracy


@dataclass(frozen=True)
class Calibration:
    """Scores of predicted entities, and whether each is right.

    scores (Tuple[float, ...]): Each 0 to 1.
    right (Tuple[bool, ...]): As many: boundaries and label are right.
    unscored (int): Predictions left out because their score is `None`.

    >>> x = Calibration(scores=(0.9, 0.8, 0.6, 0.5), right=(True, True, False, True))
    >>> [round(y, 4) for y in (x.brier, x.ece(bins=2), x.auroc)]
    [0.165, 0.1, 0.6667]
    """

    scores: Tuple[float, ...] = field(default=(), repr=False)
    right: Tuple[bool, ...] = field(default=(), repr=False)
    unscored: int = 0

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def brier(self) -> Optional[float]:
        """RETURNS (Optional[float]): Mean squared difference of score and outcome, 0 to 1,
        0 is best: Brier, "Verification of forecasts expressed in terms of probability",
        1950. `None` without scores."""
        if not self.scores:
            return None
        return float(((numpy.array(self.scores) - numpy.array(self.right)) ** 2).mean())

    @property
    def auroc(self) -> Optional[float]:
        """RETURNS (Optional[float]): Probability that a right prediction scores above a
        wrong one, ties half: Mann and Whitney, "On a test of whether one of two random
        variables is stochastically larger than the other", 1947. `None` unless there are
        both."""
        right, scores = numpy.array(self.right, dtype=bool), numpy.array(self.scores)
        n, wrong = int(right.sum()), int((~right).sum())
        if not n or not wrong:
            return None
        _, inverse, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
        ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[inverse]
        return float((ranks[right].sum() - n * (n + 1) / 2) / (n * wrong))

    def reliability(self, bins: int = BINS) -> List[ReliabilityBin]:
        """Sort predictions by score into bins of about equally many. Equal scores are
        never parted, so there can be fewer bins than asked for.

        bins (int): How many, at least 1.
        RETURNS (List[ReliabilityBin]): From low to high scores.
        """
        scores, right = numpy.array(self.scores), numpy.array(self.right, dtype=int)
        order = numpy.argsort(scores, kind="stable")
        scores, right = scores[order], right[order]
        cuts = numpy.linspace(0, len(scores), bins + 1)[1:-1].round().astype(int)
        # A cut inside of equal scores moves to the first of them.
        cuts = numpy.searchsorted(scores, scores[cuts[cuts < len(scores)]], side="left")
        borders = sorted({0, len(scores), *cuts.tolist()})
        return [
            ReliabilityBin(j - i, float(scores[i:j].sum()), int(right[i:j].sum()))
            for i, j in pairwise(borders)
        ]

    def ece(self, bins: int = BINS) -> Optional[float]:
        """Expected calibration error over bins of equal mass: Naeini, Cooper and
        Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", 2015;
        equal mass after Nguyen and O'Connor, "Posterior calibration and exploratory
        analysis for natural language processing models", 2015.

        bins (int): How many, at least 1.
        RETURNS (Optional[float]): Mean absolute gap, 0 to 1, `None` without scores. It is
            biased upwards where bins hold few predictions.
        """
        if not self.scores:
            return None
        parts = self.reliability(bins)
        return sum(x.count * abs(x.gap) for x in parts) / len(self)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): `scored`, `unscored`, `ece`, `brier`, `auroc`, and
        `reliability`: bins of `count`, `score`, `accuracy`."""
        return {
            "scored": len(self),
            "unscored": self.unscored,
            "ece": self.ece(),
            "brier": self.brier,
            "auroc": self.auroc,
            "reliability": [
                {"count": x.count, "score": x.score, "accuracy": x.accuracy}
                for x in self.reliability()
            ]
            if self.scores
            else [],
        }
