"""Runs the AWS emulator unchanged, and keeps its state on disk while it runs: nothing of it is replaced.

By itself the emulator writes its state only when it is asked to end, so a crash or a reboot would lose the account.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
import urllib.request

from ministack import app
from ministack.core import persistence

INTERVAL = 2.0  # seconds
written = {}
due = {}  # when a service's state is looked at again
lock = threading.Lock()
loaded = threading.Event()


def save(everything=False):
    """Writes the state of every service that has changed since it was last written."""
    with lock:
        for name, get_state in app._build_persistence_save_dict().items():
            began = time.monotonic()
            if began < due.get(name, 0) and not everything:
                continue
            try:
                state = get_state()
                if state is None:
                    continue
                text = json.dumps(state, default=persistence._json_default, sort_keys=True)
            except Exception:  # a request is changing it at this moment; the next round gets it
                continue
            digest = hashlib.sha256(text.encode()).digest()
            if written.get(name) != digest:
                persistence.save_state(name, state)
                written[name] = digest
            # A large state, such as that of long logs, is looked at less often: it keeps the emulator from answering.
            due[name] = began + 10 * (time.monotonic() - began)


def await_loaded():
    """Returns once the emulator answers: a service that is not loaded yet looks empty, and must not be written."""
    address = "http://127.0.0.1:%s/_ministack/ready" % os.environ["GATEWAY_PORT"]
    while not loaded.is_set():
        try:
            urllib.request.urlopen(address, timeout=5).close()
            loaded.set()
        except Exception:  # it is not up yet, or not ready
            time.sleep(0.1)


def keep():
    await_loaded()
    while True:
        time.sleep(INTERVAL)
        save()


def leave_with_parent():
    """Ends the emulator when the sandbox that started it has died, so that a new one finds its port free."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    if loaded.is_set():
        save(everything=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    os.umask(0o077)  # the state holds what was stored as secrets
    sys.argv = ["ministack"]
    threading.Thread(target=keep, daemon=True, name="keep-state").start()
    threading.Thread(target=leave_with_parent, daemon=True, name="leave-with-parent").start()
    app.main()
