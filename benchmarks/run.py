"""``python -m benchmarks [NAME …]``: run the named comparisons, or all of them."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "import": "rows per second of an import against COPY of the same rows",
    "features": "a feature build against the same SQL in DuckDB",
    "scores": "explained scores in a batch against bare LightGBM pred_contrib",
    "asof": "the point-in-time join of features against DuckDB's ASOF JOIN",
    "http": "one explained score over HTTP against mlflow models serve",
}
MODULES = {
    "import": "import_rows",
    "features": "feature_build",
    "scores": "batch_scores",
    "asof": "asof_join",
}


def main(arguments: list[str]) -> int:
    """Print each comparison; unknown names are told with the known ones."""
    chosen = arguments or list(NAMES)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        known = "\n".join(f"  {name:<10}{what}" for name, what in NAMES.items())
        print(f"no benchmark named {', '.join(unknown)}; there are:\n{known}", file=sys.stderr)
        return 2
    for name in chosen:
        module = importlib.import_module(f"benchmarks.{MODULES.get(name, f'{name}_score')}")
        print("\n".join(module.compare().lines()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
