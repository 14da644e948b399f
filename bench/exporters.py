"""The app sets its telemetry up in a thread, a second after its first word: who measures what it costs waits first."""

from __future__ import annotations

import threading

from shared.telemetry import THREAD


def wait_for_exporters() -> bool:
    """Wait until telemetry is set up, if a setting asks for it; return whether there was anything to wait for."""
    found = [thread for thread in threading.enumerate() if thread.name == THREAD]
    for thread in found:
        thread.join()
    return bool(found)
