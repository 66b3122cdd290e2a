"""HTTP/1.1 server whose answers take known times: server.py ADDRESS PORT.

/page/N      N octets at once
/stall/N     half a page of 4,000 octets, N seconds of silence, the other half
/trickle/N   300 octets every quarter of a second, for N seconds
"""

import http.server
import socket
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, _, number = self.path[1:].partition("/")
        if kind not in ("page", "stall", "trickle") or not number.isdigit():
            self.send_error(404)
            return
        number = int(number)
        if kind == "page":
            parts, pause = [number], 0
        elif kind == "stall":
            parts, pause = [2000, 2000], number
        else:
            parts, pause = [300] * (4 * number), 0.25
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(sum(parts)))
        self.end_headers()
        for index, part in enumerate(parts):
            if index:
                time.sleep(pause)
            self.wfile.write(b"flowpool\n" * (part // 9) + b"." * (part % 9))
            self.wfile.flush()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 128


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
