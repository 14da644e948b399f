"""Plays kubectl for the stand-in of AKS: the few commands that a rollout needs, on a cluster that is a JSON file.

Run as a program; CLUSTER names the file. Whatever it does not know is refused, as kubectl refuses it. Sources: kubectl
1.32's own output. Only the standard library is used, so that it starts fast.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FLAGS = ("--namespace", "--filename", "--output", "--timeout", "--tail")
_SWITCHES = ("--ignore-not-found", "--overwrite", "--all-containers")


class KubectlError(Exception):
    """What kubectl would print before it exits with 1."""


@contextmanager
def cluster(path: str = "") -> Iterator[dict[str, Any]]:
    """Give the cluster's state, and keep what is changed of it. Nobody else reads or writes it meanwhile."""
    with open(path or os.environ["CLUSTER"], "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def parse(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return what is no flag, and the flags."""
    words, flags = [], {}
    rest = iter(arguments)
    for argument in rest:
        flag, _, value = argument.partition("=")
        if argument in _SWITCHES:
            flags[argument] = "true"
        elif flag in _FLAGS:
            flags[flag] = value or next(rest)
        elif argument.startswith("-"):
            raise KubectlError(f"error: unknown flag: {argument}")
        else:
            words.append(argument)
    return words, flags


def main(arguments: list[str]) -> str:
    """Do one command; return what it prints."""
    words, flags = parse(arguments)
    with cluster() as state:
        state["commands"].append(arguments)
    verb, words = words[0] if words else "", words[1:]
    if verb not in _VERBS:
        raise KubectlError(f'error: unknown command "{verb}" for "kubectl"')
    return str(_VERBS[verb](words, flags, flags.get("--namespace", "default")))


def _get(words: list[str], flags: dict[str, str], namespace: str) -> str:
    with cluster() as state:
        if words == ["pods"]:
            return f"NAME   READY   STATUS   RESTARTS   AGE\n{state['pods']}"
        found = state["objects"].get(f"{namespace}/Deployment/{words[1]}")
    if found is None:
        if "--ignore-not-found" in flags:
            return ""
        raise KubectlError(f'Error from server (NotFound): deployments.apps "{words[1]}" not found')
    for part in flags["--output"].removeprefix("jsonpath={.").removesuffix("}").split("."):
        found = found.get(part, {})
    return str(found) if isinstance(found, str) else ""


def _apply(_words: list[str], flags: dict[str, str], namespace: str) -> str:
    with open(flags["--filename"], encoding="utf-8") as file:
        items = json.load(file)["items"]
    told = []
    with cluster() as state:
        if namespace not in state["namespaces"]:
            raise KubectlError(f'Error from server (NotFound): namespaces "{namespace}" not found')
        for item in items:
            told.append(_put(state, item, namespace))
    return "\n".join(told)


def _put(state: dict[str, Any], item: dict[str, Any], namespace: str) -> str:
    kind, name = item["kind"], item["metadata"]["name"]
    key, was = f"{namespace}/{kind}/{name}", None
    was = state["objects"].get(key)
    kept = was["metadata"].get("annotations", {}) if was else {}
    item["metadata"]["annotations"] = {**kept, **item["metadata"].get("annotations", {})}
    state["objects"][key] = item
    state["applied"].append(item)
    done = "created" if was is None else "unchanged" if was == item else "configured"
    return f"{kind.lower()}{'.apps' if kind == 'Deployment' else ''}/{name} {done}"


def _annotate(words: list[str], flags: dict[str, str], namespace: str) -> str:
    with cluster() as state:
        item = _deployment(state, words[1], namespace)
        for pair in words[2:]:
            key, _, value = pair.partition("=")
            if key in item["metadata"]["annotations"] and "--overwrite" not in flags:
                raise KubectlError(f"error: --overwrite is false but found the following declared annotation: {key}")
            item["metadata"]["annotations"][key] = value
    return f"deployment.apps/{words[1]} annotated"


def _rollout(words: list[str], flags: dict[str, str], namespace: str) -> str:
    name = words[1].removeprefix("deployment/")
    with cluster() as state:
        item = _deployment(state, name, namespace)
        item["metadata"]["annotations"].update(state.pop("interference", {}))
        slow, failing, seconds = state["timeouts"] > 0, state["failing"], state["rollout_seconds"]
        state["timeouts"] -= slow
    if slow:
        raise KubectlError("error: timed out waiting for the condition")
    time.sleep(min(seconds, float(flags["--timeout"].removesuffix("s"))))
    if failing:
        raise KubectlError(f'error: deployment "{name}" exceeded its progress deadline')
    return f'deployment "{name}" successfully rolled out'


def _describe(words: list[str], _flags: dict[str, str], namespace: str) -> str:
    with cluster() as state:
        _deployment(state, words[1], namespace)
    return f"Name:         {words[1]}\nNamespace:    {namespace}"


def _logs(words: list[str], flags: dict[str, str], namespace: str) -> str:
    with cluster() as state:
        _deployment(state, words[0].removeprefix("deployment/"), namespace)
        return "\n".join(state["logs"].splitlines()[-int(flags["--tail"]) :])


def _deployment(state: dict[str, Any], name: str, namespace: str) -> dict[str, Any]:
    found = state["objects"].get(f"{namespace}/Deployment/{name}")
    if found is None:
        raise KubectlError(f'Error from server (NotFound): deployments.apps "{name}" not found')
    item: dict[str, Any] = found
    return item


_VERBS = {
    "get": _get,
    "apply": _apply,
    "annotate": _annotate,
    "rollout": _rollout,
    "describe": _describe,
    "logs": _logs,
}


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except KubectlError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
