"""What the tests of estimators share: scikit-learn's own checks know only numbers."""

from typing import Any

import numpy as np
from scipy.sparse import issparse

TEXT = "a column of texts has no width: there is no n_features_in_"
NUMBERS = "is about numbers, of which texts have none"
ONE_D = "wants a one-dimensional X refused, which is what texts are"
OWN_ERROR = "wants a ValueError or TypeError; relmo says it with its own InputError"


def as_texts(table: Any) -> Any:
    """A row of numbers as a text of as many tokens."""
    if issparse(table):
        return table
    table = np.asarray(table)
    return [" ".join(f"{x:.3f}" for x in row) for row in table] if table.ndim == 2 else table
