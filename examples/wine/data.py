"""Wine-quality data, generated: eleven measurements of a red wine and the grade that tasters gave it.

The columns, their units and their usual ranges are those of the Wine Quality data set (Cortez and others, 2009); not a
single row of it is in here. What makes a wine good is made up: alcohol, little volatile acid, sulphates up to a point,
not too much sulphur dioxide, and tasters who do not agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

GRADE = "quality"
WINES, SEED = 1600, 2009


def wines(count: int = WINES, seed: int = SEED) -> pd.DataFrame:
    """Return so many wines: the same each time for the same seed."""
    import numpy as np  # type: ignore[import-not-found]
    import pandas as pd

    draw = np.random.default_rng(seed)
    alcohol = draw.normal(10.4, 1.05, count).clip(8.4, 14.9)
    volatile = draw.gamma(8.6, 0.0615, count).clip(0.12, 1.58)
    citric = (0.27 - 0.6 * (volatile - 0.53) + draw.normal(0, 0.15, count)).clip(0, 1)
    fixed = (8.3 + 4.0 * (citric - 0.27) + draw.normal(0, 1.4, count)).clip(4.6, 15.9)
    sugar = draw.lognormal(0.83, 0.35, count).clip(0.9, 15.5)
    chlorides = draw.lognormal(-2.5, 0.3, count).clip(0.012, 0.61)
    free = draw.gamma(2.3, 6.9, count).clip(1, 72)
    total = (free * 2.2 + draw.gamma(2.0, 6.0, count)).clip(6, 289)
    sulphates = draw.lognormal(-0.45, 0.23, count).clip(0.33, 2)
    density = 0.9967 - 0.00085 * (alcohol - 10.4) + 0.0004 * (sugar - 2.5) + draw.normal(0, 0.0008, count)
    acidity = (3.31 - 0.06 * (fixed - 8.3) + draw.normal(0, 0.1, count)).clip(2.7, 4.0)
    liking = 5.6 + 0.6 * np.tanh(1.1 * (alcohol - 10.4)) - 1.6 * (volatile - 0.53)
    liking += 3.2 * (np.minimum(sulphates, 0.7) - 0.62) - 0.6 * (total > 65) + draw.normal(0, 0.3, count)
    table = {
        "fixed acidity": fixed.round(1),
        "volatile acidity": volatile.round(3),
        "citric acid": citric.round(2),
        "residual sugar": sugar.round(1),
        "chlorides": chlorides.round(3),
        "free sulfur dioxide": free.round(0),
        "total sulfur dioxide": total.round(0),
        "density": density.round(5),
        "pH": acidity.round(2),
        "sulphates": sulphates.round(2),
        "alcohol": alcohol.round(1),
        GRADE: liking.round(0).clip(3, 9),
    }
    return pd.DataFrame(table)
