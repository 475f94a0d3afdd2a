# A small WebSocket server on the package `websockets`, with its extensions: says back what it is told.
#
#   python ws_lab.py PORT --tls-cert FILE --tls-key FILE --log FILE
#
# PORT 0 picks a free port; the first line of stdout is `listening on PORT`. Told `mirror`, it says the Authorization
# that it got; told `bye`, it closes with 4001. The log has one JSON line for each connection:
# {authorization, extensions}, the extensions being those that both sides agreed on.
import argparse
import json
import ssl
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
for name in ["--tls-cert", "--tls-key", "--log"]:
    parser.add_argument(name, required=True)
options = parser.parse_args()


def talk(socket):
    authorization = socket.request.headers.get("authorization", "nobody")
    extensions = [extension.name for extension in socket.protocol.extensions]
    with open(options.log, "a") as log:
        log.write(json.dumps({"authorization": authorization, "extensions": extensions}) + "\n")
    with suppress(ConnectionClosed):
        answer(socket, authorization)


def answer(socket, authorization):
    for message in socket:
        if message == "mirror":
            # In fragments, so that no frame has all of it.
            socket.send(iter([f"you are {authorization}"[:20], f"you are {authorization}"[20:]]))
        elif message == "bye":
            socket.close(4001, "as you wish")
        else:
            socket.send(message)


tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(options.tls_cert, options.tls_key)
# Machines that run tests are busy.
patient = {"open_timeout": 100, "close_timeout": 100, "ping_interval": None}
with serve(talk, "127.0.0.1", options.port, ssl=tls, max_size=None, **patient) as server:
    print(f"listening on {server.socket.getsockname()[1]}", flush=True)
    server.serve_forever()
