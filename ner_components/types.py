"""Names for arrays by what they hold and how many axes they have. Shapes stand with each
use. thinc's own names don't take numpy's index arrays; these do."""

from typing import Any

from numpy.typing import NDArray

Floats1d = NDArray[Any]
Floats2d = NDArray[Any]
Floats3d = NDArray[Any]
Ints1d = NDArray[Any]
Ints2d = NDArray[Any]
