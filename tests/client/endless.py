"""An archive whose one film has no end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from tests.archives import serving

HEADER = {
    "00080018": {"vr": "UI", "Value": ["1.2.3.4"]},
    "0020000E": {"vr": "UI", "Value": ["1.2.3"]},
    "00280010": {"vr": "US", "Value": [1]},
    "00280011": {"vr": "US", "Value": [1]},
}


class _Endless(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        if self.path.endswith("/metadata"):
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(json.dumps([HEADER]).encode())
            return
        self.send_header("Content-Type", 'multipart/related; type="application/dicom"; boundary=film')
        self.end_headers()
        self.wfile.write(b"--film\r\nContent-Type: application/dicom\r\n\r\n")
        try:
            while True:
                self.wfile.write(bytes(2**16))
        except OSError:
            pass  # nobody reads on

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endless_archive() -> Iterator[str]:
    """The address of its DICOMweb."""
    with serving(_Endless) as url:
        yield f"{url}/dicom-web"
