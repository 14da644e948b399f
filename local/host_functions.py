"""What a function app declares, read by Microsoft's own worker library, which also runs each invocation."""

import json
import os
import re
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from azure_functions_runtime import handle_event
from azure_functions_runtime.bindings.meta import load_binding_registry
from azure_functions_runtime.loader import index_function_app, process_indexed_function
from azure_functions_runtime.native_invocation import invocation_request_native

Binding = dict[str, Any]
Inputs = list[tuple[str, Any]]
TRIGGERS = {"httpTrigger", "queueTrigger", "timerTrigger"}
OUTPUTS = {"http", "queue"}


class HostError(Exception):
    """A function or a setting that this host cannot work with; the text says which and why."""


class _BindingInfo(SimpleNamespace):
    """The numbers of the worker's wire format, which the library compares declarations with."""

    out: ClassVar[int] = 1
    inout: ClassVar[int] = 2
    undefined: ClassVar[int] = 0


# The library hands its findings to generated message classes. Only their fields are of use here.
_WIRE = SimpleNamespace(BindingInfo=_BindingInfo, RpcFunctionMetadata=SimpleNamespace, RpcRetryOptions=SimpleNamespace)


@dataclass(frozen=True)
class Function:
    """One function of the app: its trigger and its outputs as function.json would say them."""

    name: str
    id: str
    trigger: Binding
    outputs: tuple[Binding, ...]


@dataclass(frozen=True)
class Returned:
    """What one successful invocation left in its output bindings, `$return` included."""

    values: Mapping[str, Any]


def index(app_dir: Path) -> list[Function]:
    """Import function_app.py of this folder and return its functions; HostError when one of them is unusable.

    Once per process: the decorators of azure.functions cannot be asked twice.
    """
    os.chdir(app_dir)
    sys.path.insert(0, str(app_dir))
    load_binding_registry()
    script = app_dir / "function_app.py"
    if not script.is_file():
        raise HostError(f"{script} is missing")
    try:
        indexed = index_function_app(str(script))
        found, _ = process_indexed_function(_WIRE, handle_event._functions, indexed, str(app_dir))
    except Exception as error:
        raise HostError(f"{script} cannot be indexed: {error}") from error
    return [_function(entry) for entry in found]


def _function(entry: Any) -> Function:
    bindings: list[Binding] = [json.loads(text) for text in entry.raw_bindings]
    trigger = next(b for b in bindings if b["type"].endswith("Trigger"))
    outputs = tuple(b for b in bindings if b["direction"].upper() == "OUT")
    return Function(entry.name, entry.function_id, trigger, outputs)


def disabled(function: Function, settings: Mapping[str, str]) -> bool:
    """Whether an app setting switches this function off, as AzureWebJobs.<name>.Disabled does."""
    names = (f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled")
    return any(settings.get(name, "").lower() in {"1", "true"} for name in names)


def resolved(function: Function, settings: Mapping[str, str]) -> Function:
    """Return the function with every %NAME% in its bindings replaced, or raise HostError."""
    if function.trigger["type"] not in TRIGGERS:
        raise HostError(f"{function.name}: no {function.trigger['type']} in this local host")
    for output in function.outputs:
        if output["type"] not in OUTPUTS:
            raise HostError(f"{function.name}: no {output['type']} output in this local host")
    trigger = _resolved(function.name, function.trigger, settings)
    outputs = tuple(_resolved(function.name, output, settings) for output in function.outputs)
    return Function(function.name, function.id, trigger, outputs)


def _resolved(name: str, binding: Binding, settings: Mapping[str, str]) -> Binding:
    def setting(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise HostError(f"{name}: setting {match[1]} is not there, but {binding['type']} needs it")
        return settings[match[1]]

    return {
        key: re.sub(r"%([^%\s]+)%", setting, value) if isinstance(value, str) else value
        for key, value in binding.items()
    }


async def invoke(function: Function, inputs: Inputs, metadata: Mapping[str, Any]) -> Returned | None:
    """Run the function once; None when it failed, which the library has logged with its traceback."""
    ok, returned, outputs, _, _ = await invocation_request_native(str(uuid.uuid4()), function.id, inputs, metadata)
    if not ok:
        return None
    values = dict(outputs)
    if returned is not None:
        values["$return"] = returned
    return Returned(values)
