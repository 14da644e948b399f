"""The options of the target azure_ml_deployment, and what they may not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from shared.azure_ml import NAME
from shared.azure_resource_manager import mistakes_of_place
from shared.templates import without

Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
_PATH = re.compile(r"(azureml:|runs:/|https://[^/{}]+/|wasbs?://[^/{}]+/|abfss://[^/{}]+/)\S*")
_MODEL = re.compile(r"azureml:[A-Za-z0-9][A-Za-z0-9_-]*:[A-Za-z0-9._-]+|azureml://registries/\S+|/subscriptions/\S+")


class Register(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Azure ML model to register the version as: `path` is a URI that Azure ML can read."""

    name: str
    path: str
    type: Literal["mlflow_model", "custom_model", "triton_model"] = "mlflow_model"


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a model that is no MLflow model: `id` is `azureml:NAME:VERSION` or an ARM id."""

    id: str
    scoring_script: str


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`deployment: auto` takes the one of `blue` and `green` that has less traffic. `traffic` is the deployment's
    share in percent; a first deployment gets all. `request_settings` and `scale_settings` go to Azure as they are.

    The last five tell of the event: leave them as they are.
    """

    subscription: str
    resource_group: str
    workspace: str
    endpoint: str
    deployment: str = "blue"
    location: str = ""
    model: str = ""
    register: Register | None = None
    compute_type: Literal["Managed", "Kubernetes"] = "Managed"
    compute: str = ""
    namespace: str = ""
    instance_type: str = ""
    instance_count: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    environment: str = ""
    environment_variables: dict[str, str] = {}
    code: Code | None = None
    auth_mode: Literal["Key", "AMLToken", "AADToken"] = "Key"
    create_endpoint: bool = True
    traffic: Percent | None = None
    keep_previous: bool = True
    wait_minutes: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 120.0
    request_settings: dict[str, Any] = {}
    scale_settings: dict[str, Any] = {}
    version: str = "{version}"
    source: str = "{source}"
    source_model: str = "{model}"
    event: str = "{id}"
    event_time: str = "{timestamp}"

    def __post_init__(self) -> None:
        """Refuse what Azure would refuse, or what would leave open what is wished."""
        for wrong, sentence in (*_what(self), *_where(self)):
            if wrong:
                raise ValueError(sentence)


def _what(options: Options) -> Iterator[tuple[bool, str]]:
    model, register = _plain(options.model), options.register
    shifts = not (model or register)
    yield bool(model and register), "give `model` or `register`, not both"
    yield shifts and options.traffic is None, "give `model` or `register`, or `traffic` to shift to a deployment"
    yield shifts and options.deployment == "auto", "say to which `deployment` the traffic is to be shifted"
    yield bool(model) and not _MODEL.fullmatch(model), "`model` is `azureml:NAME:VERSION`, or an ARM or registry id"
    if register:
        yield not NAME.fullmatch(_plain(register.name)), "`register.name` may hold letters, digits, `-` and `_` only"
        yield not _PATH.fullmatch(register.path), "`register.path` is a URI, its scheme and host without placeholders"
    yield not re.fullmatch(r"[0-9]+|x", _plain(options.event_time)), "`event_time` is in milliseconds since 1970"
    lone = not options.keep_previous and options.traffic != 100
    yield lone, "`keep_previous: false` needs `traffic: 100`: what has traffic can't be deleted"


def _where(options: Options) -> Iterator[tuple[bool, str]]:
    kubernetes, deploys = options.compute_type == "Kubernetes", bool(options.model or options.register)
    names = [options.workspace, options.endpoint, _plain(options.deployment), options.compute or "x"]
    yield from mistakes_of_place(options.subscription, options.resource_group)
    wrong = [name for name in names if not NAME.fullmatch(name)]
    yield bool(wrong), f"{''.join(wrong[:1])!r} is no name: letters, digits, `-` and `_`"
    yield kubernetes and not options.compute, "`compute_type: Kubernetes` needs `compute`, the attached compute's name"
    yield not kubernetes and bool(options.compute), "`compute` is for `compute_type: Kubernetes`"
    yield bool(options.namespace) and not kubernetes, "`namespace` is for `compute_type: Kubernetes`"
    yield deploys and not kubernetes and not options.instance_type, "a managed deployment needs an `instance_type`"


def _plain(text: str) -> str:
    return without(text, "x")
