"""MLflow for real: register, promote through the gates, refuse, roll back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from training import exports
from training.evaluation import sigmoid


@pytest.fixture
def registry():
    from training import registry

    return registry


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    from crm_core.settings import Settings

    return Settings(home=tmp_path_factory.mktemp("home"), threads=2, trials=0)


class TestAVersion:
    def test_comes_back_from_the_registry_as_it_went_in(
        self, registry, mlflow_url, shared_home, trained
    ):
        version = registry.register(trained, url=mlflow_url, settings=shared_home)
        found = registry.registered(mlflow_url, version)
        rows = trained.window.X[:50]
        assert found.bundle.version == version
        np.testing.assert_array_equal(found.bundle.score(rows).p, trained.bundle.score(rows).p)
        assert found.report == json.loads(json.dumps(trained.report.as_json()))
        np.testing.assert_array_equal(found.window.p, trained.window.p)
        assert registry.version_of(mlflow_url, registry.CHALLENGER) == version
        assert registry.newest(mlflow_url) == version

    def test_is_logged_without_a_word_from_the_database(
        self, registry, mlflow_url, shared_home, trained, caplog
    ):
        version = registry.register(trained, url=mlflow_url, settings=shared_home)
        assert [each.getMessage() for each in caplog.records if each.name == "psycopg"] == []
        client = registry._client(mlflow_url)
        found = client.get_model_version(registry.MODEL, version)
        run = client.get_run(found.run_id)
        model = client.get_logged_model(found.model_id or found.source.rpartition("/")[2])
        assert run.data.metrics["rows"] == trained.report.rows
        assert {each.key: each.value for each in model.metrics} == run.data.metrics

    def test_is_loaded_by_mlflow_without_any_pickle(
        self, registry, mlflow_url, shared_home, trained
    ):
        import mlflow
        import pandas as pd
        from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION

        version = registry.register(trained, url=mlflow_url, settings=shared_home)
        assert not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get()
        pickles = [
            path
            for path in shared_home.artifacts_folder.rglob("*")
            if path.suffix in {".pkl", ".pickle", ".joblib", ".cloudpickle"}
        ]
        assert pickles == []
        with registry._tracking(mlflow_url):
            model = mlflow.pyfunc.load_model(f"models:/{registry.MODEL}/{version}")
        frame = pd.DataFrame(trained.window.X[:20], columns=list(trained.bundle.features))
        served = model.predict(frame)
        np.testing.assert_allclose(
            served["p"], trained.bundle.score(trained.window.X[:20]).p, atol=1e-12
        )
        groups = served.drop(columns=["p", "margin", "base_value"]).sum(axis=1)
        np.testing.assert_allclose(sigmoid(groups + served["base_value"]), served["p"], atol=1e-9)

    def test_keeps_the_findings_of_its_run(self, registry, mlflow_url, shared_home, trained):
        version = registry.register(trained, url=mlflow_url, settings=shared_home)
        found = registry.registered(mlflow_url, version)
        run = registry._client(mlflow_url).get_run(found.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["data_fingerprint"] == trained.report.fingerprint
        assert run.data.tags["suspected_leakage"] == "false"
        metrics = run.data.metrics
        assert metrics["served.log_loss_low"] < metrics["served.log_loss"]
        assert metrics["served.log_loss"] < metrics["base_rate.log_loss"]
        names = {
            each.path.removeprefix("findings/")
            for each in registry._client(mlflow_url).list_artifacts(found.run_id, "findings")
        }
        assert names == {
            "report.json", "card.md", "features.json", "reliability.svg", "window.npz",
        }  # fmt: skip

    def test_tells_the_cut_whose_features_it_read(self, registry, mlflow_url, shared_home, trained):
        before = len(registry.cuts(mlflow_url))
        registry.register(trained, url=mlflow_url, settings=shared_home)
        cuts = registry.cuts(mlflow_url)
        assert len(cuts) == before + 1
        assert trained.report.as_of in {cut.isoformat() for cut in cuts}

    def test_that_does_not_exist_is_named(self, registry, mlflow_url, shared_home):
        registry.prepare(mlflow_url, settings=shared_home)
        with pytest.raises(registry.UnknownVersion, match="no version 999"):
            registry.registered(mlflow_url, "999")


class TestPromotion:
    def test_moves_pointer_and_aliases_and_a_rollback_moves_them_back(
        self, registry, mlflow_url, home, trained
    ):
        from training import pipeline

        first = registry.register(trained, url=mlflow_url, settings=home)
        second = registry.register(trained, url=mlflow_url, settings=home)
        one = pipeline.promote_win_rate(settings=home, mlflow_url=mlflow_url, version=first)
        assert one.promoted, one.refusals
        two = pipeline.promote_win_rate(settings=home, mlflow_url=mlflow_url)
        assert two.promoted, two.refusals
        assert two.version == second
        folder = home.models_folder / "win_rate"
        assert exports.served(folder).version == second
        assert registry.version_of(mlflow_url, "champion") == second
        assert registry.version_of(mlflow_url, "previous") == first
        assert registry.version_of(mlflow_url, "challenger") is None
        assert pipeline.rollback_win_rate(settings=home, mlflow_url=mlflow_url) == first
        assert exports.served(folder).version == first
        assert registry.version_of(mlflow_url, "champion") == first
        assert registry.version_of(mlflow_url, "previous") is None

    def test_refuses_a_suspected_leak_and_says_so(self, registry, mlflow_url, home, trained):
        from training import pipeline
        from training.reports import Leak

        leaky = replace(
            trained, report=replace(trained.report, leaks=(Leak("feature x", 0.999, 0.9),))
        )
        version = registry.register(leaky, url=mlflow_url, settings=home)
        found = pipeline.promote_win_rate(settings=home, mlflow_url=mlflow_url, version=version)
        assert not found.promoted
        assert "Suspected leakage: feature x" in found.refusals[0]
        assert exports.served(home.models_folder / "win_rate") is None
        row = next(
            each for each in pipeline.versions(mlflow_url=mlflow_url) if each["version"] == version
        )
        assert row["decision"] == "refused"

    def test_that_is_forced_is_written_down(self, registry, mlflow_url, home, trained):
        from training import pipeline
        from training.reports import Leak

        leaky = replace(
            trained, report=replace(trained.report, leaks=(Leak("feature x", 0.999, 0.9),))
        )
        version = registry.register(leaky, url=mlflow_url, settings=home)
        found = pipeline.promote_win_rate(
            settings=home, mlflow_url=mlflow_url, version=version, force=True
        )
        assert found.promoted
        assert found.forced
        row = next(
            each for each in pipeline.versions(mlflow_url=mlflow_url) if each["version"] == version
        )
        assert row["decision"] == "forced"
        assert "champion" in row["aliases"]
