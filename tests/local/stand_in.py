"""A stand-in for Tempo, Prometheus and Grafana: answers 200 on its port, and writes down how it was started.

The test writes it to a file with a shebang line; the file's name says which program it stands for.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not logged."""


def main() -> None:
    program = Path(sys.argv[0])
    program.with_suffix(".json").write_text(json.dumps({"argv": sys.argv, "env": dict(os.environ)}))
    port = os.environ.get("TEMPO_PORT") or os.environ.get("GF_SERVER_HTTP_PORT")
    listen = next((word.rpartition(":")[2] for word in sys.argv if word.startswith("--web.listen-address=")), port)
    HTTPServer(("127.0.0.1", int(listen or 0)), _Answer).serve_forever()


if __name__ == "__main__":
    main()
