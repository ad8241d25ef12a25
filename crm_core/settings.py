"""Every environment variable the program reads, described. The only read of the environment."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_core.errors import Invalid


class BadSetting(Invalid):
    """A setting has a value that cannot be meant."""


def default_home() -> Path:
    """Return the per-user data directory; root gets a system one that other users can reach.

    PostgreSQL refuses to run as root and is started as an unprivileged user, who could not
    enter ``/root``.
    """
    if os.name == "posix" and os.geteuid() == 0:
        return Path("/var/lib/winward")
    return Path(platformdirs.user_data_dir("winward", appauthor=False))


class Settings(BaseSettings):
    """The settings of one process, read from ``WINWARD_…`` variables."""

    model_config = SettingsConfigDict(env_prefix="WINWARD_", frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=default_home,
        description="Folder for the embedded database, feature files, models and logs.",
    )
    database_url: str | None = Field(
        default=None,
        description="A PostgreSQL 15 or newer to use instead of the embedded one.",
    )
    app_database_url: str | None = Field(
        default=None,
        description="The same database as a user that may only work as winward_app, for the web.",
    )
    host: str = Field(default="127.0.0.1", description="Address the web server listens on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the web server.")
    web_processes: int = Field(default=2, ge=1, le=64, description="Number of web processes.")
    secure_cookies: bool = Field(
        default=False, description="Send the session cookie over HTTPS only (set behind TLS)."
    )
    session_hours: int = Field(
        default=12, ge=1, le=720, description="Hours until a login session ends."
    )
    threads: int = Field(
        default=2, ge=1, le=256, description="Threads that training and feature queries may use."
    )
    trials: int = Field(
        default=20, ge=0, le=1000, description="Optuna trials of one training; 0 keeps defaults."
    )
    upload_days: int = Field(
        default=30, ge=1, le=3650,
        description="Days for which uploaded files and the rows an import rejected are kept.",
    )  # fmt: skip
    retrain_promotes: bool = Field(
        default=False,
        description="Let the weekly retraining promote what the gates allow, without a person.",
    )
    webhook_hosts: str = Field(
        default="",
        description="Hosts (name or name:port, by commas) that webhooks may reach although they "
        "are private, also by plain HTTP.",
    )

    @property
    def features_folder(self) -> Path:
        """Folder of the point-in-time feature files (Parquet)."""
        return self.home / "features"

    @property
    def models_folder(self) -> Path:
        """Folder of the promoted models that serving reads (LightGBM text and JSON)."""
        return self.home / "models"

    @property
    def artifacts_folder(self) -> Path:
        """Folder of MLflow's run artifacts."""
        return self.home / "mlflow-artifacts"

    @property
    def logs_folder(self) -> Path:
        """Folder of the logs of every process that ``winward up`` starts."""
        return self.home / "logs"

    def environment(self) -> dict[str, str]:
        """Return the environment for a child process that shall have these very settings."""
        ours = {
            f"WINWARD_{name.upper()}": str(value)
            for name, value in self.model_dump().items()
            if value is not None
        }
        others = {key: value for key, value in os.environ.items() if key[:8] != "WINWARD_"}
        return others | ours


def read(**overrides: object) -> Settings:
    """Return settings from the environment, with a command's own options before them."""
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type] # validated by pydantic
    except ValidationError as error:
        first = error.errors()[0]
        name = f"WINWARD_{'_'.join(str(part) for part in first['loc']).upper()}"
        raise BadSetting(f"{name} is {first['input']!r}: {first['msg']}.") from None


def keep_tracking_private() -> None:
    """Tell MLflow, before it is first imported, to report nothing and never to unpickle."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"


@lru_cache(maxsize=1)
def load() -> Settings:
    """Return the settings of this process, read once."""
    return read()
