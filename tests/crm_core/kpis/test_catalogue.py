"""The catalogue is whole, and the document is the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_core.kpis.catalogue import CATALOGUE, as_markdown
from crm_core.kpis.sources import SOURCES
from tests.oracles.all_kpis import Twin

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


class TestCatalogue:
    def test_names_each_metric_once(self):
        ids = [item.id for item in CATALOGUE]
        assert len(ids) == len(set(ids))

    @pytest.mark.parametrize("item", CATALOGUE, ids=lambda item: item.id)
    def test_says_everything_of_a_metric_in_both_languages(self, item):
        for zh, en in (item.names, item.formulas, item.none_when):
            assert any("一" <= c <= "鿿" for c in zh)
            assert en.isascii() or "÷" in en or "×" in en or "−" in en
            assert zh != en
        assert item.since
        assert item.source
        assert item.event_date

    @pytest.mark.parametrize("item", CATALOGUE, ids=lambda item: item.id)
    def test_has_a_source_and_a_twin_for_each_metric(self, item):
        parts = item.parts if item.aggregation == "derived" else (item.id,)
        for part in parts:
            assert callable(getattr(Twin, part, None)), part
        if item.aggregation != "derived":
            assert item.source in SOURCES

    def test_is_the_document(self):
        assert DOCUMENT.read_text(encoding="utf-8") == as_markdown()
