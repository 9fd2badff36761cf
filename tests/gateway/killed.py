"""A gateway that kills itself at a step of its way: python -m tests.gateway.killed SETTINGS STEP PORT_FILE."""

import sys
import threading
from pathlib import Path
from typing import Any

from pynetdicom.association import Association
from tests.killing import AFTER, BEFORE, kill_at

from medxgan.client import Client
from medxgan.gateway.delivery.store import StoreSender
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.settings import GatewaySettings

STEPS: dict[str, tuple[type[Any], str, str, int]] = {
    "before the film is written": (FileStore, "write", BEFORE, 1),
    "between the film's file and its row": (FileStore, "write", AFTER, 1),
    "between the row and the answer": (Journal, "arrive", AFTER, 1),
    "before the server is asked": (Client, "explain", BEFORE, 1),
    "once the server has answered": (Client, "explain", AFTER, 1),
    "between two results": (FileStore, "write", AFTER, 2),
    "before the results are noted": (Journal, "explained", BEFORE, 1),
    "once the results are noted": (Journal, "explained", AFTER, 1),
    "before the delivery": (StoreSender, "send", BEFORE, 1),
    "between two objects of the delivery": (Association, "send_c_store", AFTER, 1),
    "once all is delivered": (StoreSender, "send", AFTER, 1),
    "between two receipts": (Journal, "receipt", AFTER, 1),
    "before the end is noted": (Journal, "end_delivery", BEFORE, 1),
    "once the end is noted": (Journal, "end_delivery", AFTER, 1),
}
"""A method, the side of it, and at which of its calls."""


if __name__ == "__main__":
    settings, step, port_file = sys.argv[1:]
    kill_at(*STEPS[step])
    with Gateway(GatewaySettings.model_validate_json(settings)) as gateway:
        unfinished = Path(port_file + ".part")
        unfinished.write_text(str(gateway.dicom_port), encoding="utf-8")
        unfinished.rename(port_file)
        threading.Event().wait()
