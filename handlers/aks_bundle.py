"""What `aks_rollout` sends into the cluster: a constant command, and a zip with its script and its values as files.

No value ever becomes part of a text that a shell reads: the script takes each from a file, and quotes it.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

COMMAND = "sh rollout.sh"
DONE, NEWER, NOT_YET = 0, 3, 4
SCRIPT = r"""set -u
name=$(cat name) namespace=$(cat namespace) marker=$(cat marker) time=$(cat event-time) seconds=$(cat seconds)

applied_time() {
  kubectl get deployment "$name" --namespace "$namespace" --ignore-not-found \
    --output 'jsonpath={.metadata.annotations.relay-event-time}'
}

stop_if_newer() {
  newest=$(applied_time) || exit 1
  case $newest in *[!0-9]*) echo "the annotation relay-event-time is no number: $newest"; exit 1 ;; esac
  if [ -n "$newest" ] && [ "$newest" -gt "$time" ]; then
    echo "a newer event is rolled out already: $newest, this one is $time"
    exit 3
  fi
}

apply() {
  kubectl apply --namespace "$namespace" --filename manifest.json &&
    kubectl annotate deployment "$name" --namespace "$namespace" --overwrite \
      "relay-event-time=$time" "relay-marker=$marker" || exit 1
}

diagnose() {
  kubectl describe deployment "$name" --namespace "$namespace" 2>&1 | tail -n 8
  kubectl get pods --namespace "$namespace" 2>&1 | tail -n 8
  kubectl logs "deployment/$name" --namespace "$namespace" --all-containers --tail=20 2>&1
  echo "$1"
  case $1 in *'timed out waiting'*) exit 4 ;; *) exit 5 ;; esac
}

for turn in 1 2 3; do
  stop_if_newer
  if [ "$(cat mode)" = apply ]; then apply; fi
  told=$(kubectl rollout status "deployment/$name" --namespace "$namespace" --timeout="${seconds}s" 2>&1) ||
    diagnose "$told"
  stop_if_newer
  if [ "$newest" = "$time" ]; then echo "$told"; exit 0; fi
  if [ "$(cat mode)" != apply ]; then break; fi
  # an older rollout that was under way came over ours: once more
done
echo "an older rollout came over this one"
exit 1
"""


def pack(mode: Literal["apply", "watch"], objects: list[Any], values: Mapping[str, str | int]) -> str:
    """Return the base64 zip; `values` are name, namespace, marker, event-time, seconds. `watch` only asks."""
    files = {name: str(value) for name, value in values.items()}
    files |= {"rollout.sh": SCRIPT, "mode": mode}
    files["manifest.json"] = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return base64.b64encode(buffer.getvalue()).decode()
