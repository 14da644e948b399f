"""App settings: the one place that reads os.environ, on first use and never at import."""

from __future__ import annotations

import os
import re
from functools import cache
from urllib.parse import urlsplit

import msgspec

from shared.errors import SettingError

MINIMUM_RETENTION_DAYS = 31
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ALLOWED_HOST = re.compile(r"(\*\.)?([a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{0,62}(:[1-9][0-9]{0,4})?")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the app is told by its settings. Times in seconds, URLs without a slash at the end.

    `runs_steps` tells whether the function run_step is on. `public_url` is the app's own, empty if unknown;
    `is_authenticated` tells whether App Service authentication stands in front of it. `insights_connection` and
    `otlp_endpoint` say where telemetry goes, both empty if nowhere; `insights_by_identity` tells whether Application
    Insights is to be spoken to as this app.
    """

    key_vault_url: str
    routes: str
    azure_devops_url: str
    azure_resource_manager_url: str
    step_lease_seconds: float
    settle_seconds: float
    retry_delays: tuple[float, ...]
    secret_cache_seconds: float
    retention_days: float
    runs_steps: bool
    public_url: str
    is_authenticated: bool
    allowed_hosts: tuple[str, ...]
    insights_connection: str
    insights_by_identity: bool
    otlp_endpoint: str

    @property
    def exports_telemetry(self) -> bool:
        """Whether telemetry goes anywhere but to the host's log."""
        return bool(self.insights_connection or self.otlp_endpoint)


@cache
def settings() -> Settings:
    """Return the settings, read once per process. Raises SettingError that names the setting at fault."""
    return Settings(
        key_vault_url=_url("KEY_VAULT_URL", None),
        routes=os.environ.get("ROUTES") or "routes.yaml",
        azure_devops_url=_url("AZURE_DEVOPS_URL", "https://dev.azure.com"),
        azure_resource_manager_url=_url("AZURE_RESOURCE_MANAGER_URL", "https://management.azure.com"),
        step_lease_seconds=_seconds("STEP_LEASE_SECONDS", "120"),
        settle_seconds=_seconds("SETTLE_SECONDS", "60"),
        retry_delays=_delays("RETRY_DELAYS", "5,30,120,600,3600,10800,21600,43200"),
        secret_cache_seconds=_seconds("SECRET_CACHE_SECONDS", "300"),
        retention_days=_retention("RETENTION_DAYS", "90"),
        runs_steps=not _is_off("run_step"),
        public_url=_public_url(),
        is_authenticated=os.environ.get("WEBSITE_AUTH_ENABLED", "").lower() == "true",
        allowed_hosts=_hosts("ALLOWED_HOSTS"),
        insights_connection=os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "") if _exports() else "",
        insights_by_identity="authorization=aad" in _insights_authentication().lower().replace(" ", ""),
        otlp_endpoint=_url("OTEL_EXPORTER_OTLP_ENDPOINT", "") if _exports() else "",
    )


def storage_setting(suffix: str = "") -> str:
    """Return `AzureWebJobsStorage` or, with a suffix such as `accountName`, its identity form's part."""
    name = f"AzureWebJobsStorage__{suffix}" if suffix else "AzureWebJobsStorage"
    return os.environ.get(name, "")


def use_cache_folder(name: str, path: str) -> None:
    """Tell an SDK, by the environment variable it reads, where it may write its cache, unless already told."""
    os.environ.setdefault(name, path)


def variable(name: str) -> str:
    """Return a variable that is no setting of this app but of the platform or a library, empty if it is not set."""
    return os.environ.get(name, "")


def is_loopback(url: str) -> bool:
    """Tell whether the URL's host is this machine."""
    return urlsplit(url).hostname in LOOPBACK


def allowed_url(url: str, what: str) -> str:
    """Return the URL without a slash at its end. Raises SettingError unless it is https, or on loopback."""
    try:
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))
        usable = secure and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SettingError(f"{what} has to be an https:// URL (http only on this machine)")
    return url.rstrip("/")


def _exports() -> bool:
    return _one_of("TELEMETRY", ("export", "host")) == "export"


def _is_off(function: str) -> bool:
    """Whether one of the host's own settings disables a function of this app."""
    names = (f"AzureWebJobs.{function}.Disabled", f"AzureWebJobs_{function}_Disabled")
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in names)


def _insights_authentication() -> str:
    return os.environ.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "")


def _one_of(name: str, values: tuple[str, ...]) -> str:
    """Return the setting, the first of the values if it is not set."""
    value = os.environ.get(name) or values[0]
    if value not in values:
        raise SettingError(f"setting {name} has to be one of {', '.join(values)}, not {value!r}")
    return value


def _url(name: str, default: str | None) -> str:
    """Return a URL; the default may be an empty text, for none. Raises SettingError without setting and default."""
    value = os.environ.get(name) or default
    if value is None:
        raise SettingError(f"setting {name} is missing: give an https:// URL")
    return allowed_url(value, f"setting {name}") if value else ""


def _public_url() -> str:
    """`PUBLIC_URL`, else the host name that Azure gives the app."""
    if given := os.environ.get("PUBLIC_URL"):
        return allowed_url(given, "setting PUBLIC_URL")
    host = os.environ.get("WEBSITE_HOSTNAME", "")
    return f"{'http' if is_loopback(f'//{host}') else 'https'}://{host}" if host else ""


def _number(name: str, text: str, unit: str = "seconds") -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 10_000_000:
        raise SettingError(f"setting {name} has to be a number of {unit} above 0, not {text!r}")
    return value


def _seconds(name: str, default: str) -> float:
    return _number(name, os.environ.get(name) or default)


def _retention(name: str, default: str) -> float:
    days = _number(name, os.environ.get(name) or default, "days")
    if days < MINIMUM_RETENTION_DAYS:
        raise SettingError(
            f"setting {name} has to be {MINIMUM_RETENTION_DAYS} at least: a delivery is taken up to 30 days after its "
            "event, and recognised as a repetition only while the ledger remembers it"
        )
    return days


def _delays(name: str, default: str) -> tuple[float, ...]:
    text = os.environ.get(name) or default
    delays = tuple(_number(name, part.strip()) for part in text.split(","))
    if list(delays) != sorted(delays):
        raise SettingError(
            f"setting {name} has to be delays of which none is shorter than the one before, not {text!r}"
        )
    return delays


def _hosts(name: str) -> tuple[str, ...]:
    entries = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
    for entry in entries:
        if _ALLOWED_HOST.fullmatch(entry) is None or re.match(r"\*\.[^.]*$", entry):
            raise SettingError(
                f"setting {name} has to list hosts such as `api.example.com`, `*.example.com` or "
                f"`api.example.com:8443`, with commas between, not {entry!r}"
            )
    return tuple(entries)
