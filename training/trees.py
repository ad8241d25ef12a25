"""Asking a LightGBM model through the library's own C interface, without its Python package.

``import lightgbm`` loads scikit-learn, SciPy and pandas, for wrappers that a server never uses:
seconds of every start. The C interface is the documented, stable one that the package itself
calls; a test compares both to the last bit. Training goes on using the package.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crm_core.errors import CrmError

Array = NDArray[np.float64]
_FLOAT64, _ROWS_ARE_CONTIGUOUS = 1, 1
_CHANCES, _RAW_SCORE, _CONTRIBUTIONS = 0, 1, 3
_ALL_TREES = -1
# one thread: a server must not spawn any; silent: the library prints to standard output
_PARAMETERS = b"num_threads=1 verbosity=-1"


class TreesRefused(CrmError):
    """The library cannot be loaded, or it does not take the model or the rows."""


@cache
def _library() -> ctypes.CDLL:
    """Return LightGBM's compiled library, found beside its package, which is not imported."""
    spec = find_spec("lightgbm")
    roots = [] if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]
    ending = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
    for root in roots:
        for folder in ("lib", "bin", "."):
            path = root / folder / f"lib_lightgbm.{ending}"
            if path.is_file():
                library = ctypes.CDLL(str(path))
                library.LGBM_GetLastError.restype = ctypes.c_char_p
                return library
    raise TreesRefused("LightGBM's library was not found; install Winward's dependencies again.")


def _checked(status: int) -> None:
    if status != 0:
        said = _library().LGBM_GetLastError().decode("utf-8", "replace")
        raise TreesRefused(f"LightGBM refused: {said}")


class Trees:
    """A model read from LightGBM's text. May be asked from several threads at once.

    ``outputs`` is how many numbers it gives per row; one of another number is refused.
    """

    def __init__(self, text: str, *, outputs: int = 1) -> None:
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        library = _library()
        _checked(
            library.LGBM_BoosterLoadModelFromString(
                ctypes.c_char_p(text.encode()), ctypes.byref(iterations), ctypes.byref(self._handle)
            )
        )
        width, classes = ctypes.c_int(), ctypes.c_int()
        _checked(library.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(width)))
        _checked(library.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        if classes.value != outputs:
            raise TreesRefused(f"The model has {classes.value} outputs, {outputs} are due.")
        self.width = width.value
        self.outputs = outputs

    def __del__(self) -> None:
        if self._handle:
            _library().LGBM_BoosterFree(self._handle)

    def margin(self, X: Array) -> Array:
        """Return the log-odds of each row. Raises TreesRefused for rows of another width."""
        return self._predict(X, _RAW_SCORE, 1)[:, 0]

    def chances(self, X: Array) -> Array:
        """Return the probability of each output per row. Raises TreesRefused as above."""
        return self._predict(X, _CHANCES, self.outputs)

    def contributions(self, X: Array) -> Array:
        """Return each feature's SHAP value per row, and the expected margin in the last column.

        Raises TreesRefused for rows of another width.
        """
        return self._predict(X, _CONTRIBUTIONS, self.width + 1)

    def _predict(self, X: Array, what: int, columns: int) -> Array:
        rows = np.ascontiguousarray(X, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.width:  # the library would read past the end
            raise TreesRefused(f"The model takes rows of {self.width} features, not {rows.shape}.")
        found = np.empty((len(rows), columns), dtype=np.float64)
        written = ctypes.c_int64()
        _checked(
            _library().LGBM_BoosterPredictForMat(
                self._handle,
                rows.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_int(_FLOAT64),
                ctypes.c_int32(len(rows)),
                ctypes.c_int32(self.width),
                ctypes.c_int(_ROWS_ARE_CONTIGUOUS),
                ctypes.c_int(what),
                ctypes.c_int(0),
                ctypes.c_int(_ALL_TREES),
                ctypes.c_char_p(_PARAMETERS),
                ctypes.byref(written),
                found.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
            )
        )
        if written.value != found.size:
            raise TreesRefused(f"LightGBM wrote {written.value} numbers, {found.size} were due.")
        return found
