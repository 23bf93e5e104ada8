"""What mistakes cost: a table by label, in any unit."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Dict, Mapping, Optional, Union

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import Errors
from .spans import Outcome


class LabelCosts(BaseModel):
    """What one mistake of a label costs, each 0 or more.

    missed (float): A gold entity of the label that was not found.
    spurious (float): A prediction of the label where there is nothing.
    wrong_boundary (float): Found, but with other boundaries.
    wrong_label (float): Found, but with another label.
    wrong_label_as (Dict[str, float]): The same by the label it was given, where that
        matters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    missed: float = Field(default=0.0, ge=0.0)
    spurious: float = Field(default=0.0, ge=0.0)
    wrong_boundary: float = Field(default=0.0, ge=0.0)
    wrong_label: float = Field(default=0.0, ge=0.0)
    wrong_label_as: Dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)


class Costs(BaseModel):
    """Costs of mistakes. A wrong label and a missed entity cost what the row of the gold
    label says, a spurious entity what the row of the predicted label says. An entity with
    both label and boundaries wrong costs the two together.

    default (LabelCosts): For labels without a row.
    labels (Dict[str, LabelCosts]): Rows by label.
    unit (str): What the numbers are, for reports: "EUR", "minutes".

    >>> costs = Costs(default={"missed": 1}, labels={"DRUG": {"missed": 10, "spurious": 2}})
    >>> costs.of(Outcome("missed", "DRUG", "O")), costs.of(Outcome("missed", "ORG", "O"))
    (10.0, 1.0)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: LabelCosts = LabelCosts()
    labels: Dict[str, LabelCosts] = Field(default_factory=dict)
    unit: str = ""

    @classmethod
    def from_file(cls, path: Union[str, Path]) -> "Costs":
        """Read a table from a JSON file with the fields of `Costs`.

        path (Union[str, Path]): The file, UTF-8.
        RETURNS (Costs): The table.
        RAISES (ValueError): The file can't be read, isn't JSON, or isn't a valid table.
        """
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as e:
            problem = e.strerror or type(e).__name__
            raise ValueError(Errors.N083.format(path=path, problem=problem)) from e
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(str(x) for x in first["loc"]) or "the file"
            problem = f"{where}: {first['msg']}"
            raise ValueError(Errors.N083.format(path=path, problem=problem)) from e

    def of(self, outcome: Outcome) -> float:
        """RETURNS (float): What one outcome costs; 0.0 for a correct one."""
        kind, gold, predicted = outcome
        row = self.labels.get(predicted if kind == "spurious" else gold, self.default)
        if kind in ("missed", "spurious", "wrong_boundary"):
            return float(getattr(row, kind))
        if kind == "correct":
            return 0.0
        label = row.wrong_label_as.get(predicted, row.wrong_label)
        return label + (row.wrong_boundary if kind == "both_wrong" else 0.0)


@dataclass(frozen=True)
class Cost:
    """The cost of an evaluation.

    total (float): Of all mistakes.
    documents (int): That they were made in.
    by_kind (Dict[str, float]): The same by error class.
    by_label (Dict[str, float]): The same by the label whose row was used.
    unit (str): Of all of these.

    >>> Cost(total=6.0, documents=4).per_thousand_documents
    1500.0
    """

    total: float
    documents: int
    by_kind: Dict[str, float] = field(default_factory=dict)
    by_label: Dict[str, float] = field(default_factory=dict)
    unit: str = ""

    @property
    def per_thousand_documents(self) -> Optional[float]:
        """RETURNS (Optional[float]): The mean, times 1,000; `None` without documents."""
        return 1000 * self.total / self.documents if self.documents else None

    def to_dict(self) -> Dict[str, object]:
        """RETURNS (Dict[str, object]): The fields and `per_thousand_documents`."""
        return {**vars(self), "per_thousand_documents": self.per_thousand_documents}


def sum_costs(outcomes: Mapping[Outcome, int], documents: int, costs: Costs) -> Cost:
    """Price counted outcomes.

    outcomes (Mapping[Outcome, int]): How often each happened.
    documents (int): In how many documents.
    costs (Costs): The table.
    RETURNS (Cost): The sums.

    >>> costs = Costs(default={"missed": 2, "spurious": 1})
    >>> outcomes = {Outcome("missed", "A", "O"): 3, Outcome("correct", "A", "A"): 9}
    >>> sum_costs(outcomes, 2, costs)
    Cost(total=6.0, documents=2, by_kind={'missed': 6.0}, by_label={'A': 6.0}, unit='')
    """
    by_kind: Dict[str, float] = {}
    by_label: Dict[str, float] = {}
    for outcome, times in sorted(outcomes.items()):
        if outcome.kind != "correct":
            cost = times * costs.of(outcome)
            label = outcome.predicted if outcome.kind == "spurious" else outcome.gold
            by_kind[outcome.kind] = by_kind.get(outcome.kind, 0.0) + cost
            by_label[label] = by_label.get(label, 0.0) + cost
    return Cost(
        total=sum(by_kind.values()),
        documents=documents,
        by_kind=by_kind,
        by_label=by_label,
        unit=costs.unit,
    )
