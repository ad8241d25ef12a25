"""``python -m benchmarks [NAME …]``: run the named comparisons, or all of them."""

from __future__ import annotations

import importlib
import sys

NAMES = {
    "import": ("import_rows.small", "an import of the small company against COPY"),
    "import-mix": ("import_rows.mix", "100,000 rows of all tables against COPY and an upsert"),
    "import-orders": ("import_rows.orders", "100,000 orders against COPY and an upsert"),
    "rollback": ("import_rows.undo", "undoing 100,000 rows against the COPY of them"),
    "dashboards": ("dashboards.medium", "numbers and pages over HTTP, 20,000 deals"),
    "dashboards-small": ("dashboards.small", "the same with 1,000 deals"),
    "features": ("feature_build.compare", "a feature build against the same SQL in DuckDB"),
    "scores": ("batch_scores.compare", "explained scores in a batch against bare pred_contrib"),
    "asof": ("asof_join.compare", "the point-in-time join of features against an ASOF JOIN"),
    "http": ("http_score.compare", "one explained score over HTTP against mlflow models serve"),
}
"""Which function compares, and what it compares."""


def main(arguments: list[str]) -> int:
    """Print each comparison; unknown names are told with the known ones."""
    chosen = arguments or list(NAMES)
    unknown = [name for name in chosen if name not in NAMES]
    if unknown:
        known = "\n".join(f"  {name:<16}{what}" for name, (_, what) in NAMES.items())
        print(f"no benchmark named {', '.join(unknown)}; there are:\n{known}", file=sys.stderr)
        return 2
    for name in chosen:
        module, function = NAMES[name][0].split(".")
        found = getattr(importlib.import_module(f"benchmarks.{module}"), function)()
        for comparison in found if isinstance(found, list) else [found]:
            print("\n".join(comparison.lines()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
