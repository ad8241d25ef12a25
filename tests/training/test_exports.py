"""The models' folder: whole before, whole after, whatever fails between."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import bundle as bundles
from training import exports


class Broken(OSError):
    """A crash injected by the test."""


def promote(bundle, folder):
    exports.export(bundle, folder)
    return exports.point_to(folder, bundle.version)


@pytest.fixture
def two(trained):
    first = trained.bundle.with_version("1")
    return first, replace(first, version="2", intercept=first.intercept + 0.5)


class TestThePointer:
    def test_names_what_serves_and_what_did(self, two, tmp_path):
        assert exports.served(tmp_path) is None
        promote(two[0], tmp_path)
        promote(two[1], tmp_path)
        assert exports.served(tmp_path) == exports.Served("2", ("1",))
        assert bundles.load(tmp_path / "2").version == "2"

    def test_rolls_back_one_step_at_a_time(self, two, tmp_path):
        for number in ("1", "2", "3"):
            promote(two[0].with_version(number), tmp_path)
        assert exports.roll_back(tmp_path) == exports.Served("2", ("1",))
        assert exports.roll_back(tmp_path) == exports.Served("1", ())
        with pytest.raises(exports.NothingToRollBackTo, match="No version served before"):
            exports.roll_back(tmp_path)

    def test_does_not_roll_back_to_files_that_are_gone(self, two, tmp_path):
        promote(two[0], tmp_path)
        promote(two[1], tmp_path)
        (tmp_path / "1" / "bundle.json").unlink()
        with pytest.raises(exports.NothingToRollBackTo, match="version 1 are gone"):
            exports.roll_back(tmp_path)
        assert exports.served(tmp_path).version == "2"

    def test_pointing_to_what_serves_changes_nothing(self, two, tmp_path):
        promote(two[0], tmp_path)
        before = (tmp_path / exports.POINTER).stat().st_ino
        exports.point_to(tmp_path, "1")
        assert (tmp_path / exports.POINTER).stat().st_ino == before


class TestACrash:
    @pytest.mark.parametrize("crash_at", range(12))
    def test_at_any_step_leaves_a_version_that_loads(
        self, two, trained, tmp_path, monkeypatch, crash_at
    ):
        promote(two[0], tmp_path)
        rows = trained.window.X[:5]
        old, new = (each.score(rows).p for each in two)
        steps = iter(range(100))

        def counted(real):
            def call(*args, **kwargs):
                if next(steps) == crash_at:
                    raise Broken("no space left on device")
                return real(*args, **kwargs)

            return call

        monkeypatch.setattr(os, "replace", counted(os.replace))
        monkeypatch.setattr(os, "fsync", counted(os.fsync))
        monkeypatch.setattr(Path, "write_text", counted(Path.write_text))
        crashed = False
        try:
            promote(two[1], tmp_path)
        except Broken:
            crashed = True
        monkeypatch.undo()
        serving = exports.served(tmp_path)
        found = bundles.load(tmp_path / serving.version).score(rows).p
        expected = {"1": old, "2": new}[serving.version]
        np.testing.assert_array_equal(found, expected)
        assert crashed or serving.version == "2"
        # and the next attempt goes through
        promote(two[1], tmp_path)
        assert exports.served(tmp_path).version == "2"

    def test_is_injected_at_every_step_there_is(self, two, tmp_path, monkeypatch):
        """The range above covers every write, flush and rename of a promotion."""
        calls = []
        for owner, name in ((os, "replace"), (os, "fsync"), (Path, "write_text")):
            real = getattr(owner, name)
            monkeypatch.setattr(
                owner, name, lambda *a, real=real, **k: (calls.append(1), real(*a, **k))[1]
            )
        promote(two[0], tmp_path)
        assert 6 <= len(calls) <= 12

    def test_while_a_damaged_write_never_becomes_a_version(self, two, tmp_path, monkeypatch):
        promote(two[0], tmp_path)
        real = bundles.Bundle.save

        def cut_short(self, folder):
            real(self, folder)
            path = folder / "bundle.json"
            path.write_text(path.read_text()[:-20])

        monkeypatch.setattr(bundles.Bundle, "save", cut_short)
        with pytest.raises(bundles.BundleRefused):
            promote(two[1], tmp_path)
        assert exports.served(tmp_path).version == "1"
        assert not (tmp_path / "2").exists()
