"""Types of the arrays that pictures are, without torch, which readers of uploads don't import."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
