# moto's server, and two things that S3 does and moto does not: a request is done as if there were no other at the time
# (else two puts on the same condition may both succeed), and a body that is not what its digests say is refused.

import base64
import hashlib
import io
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

REFUSAL = "<Error><Code>{0}</Code><Message>The digest is not the one that was given</Message></Error>"


def wrong_digest(environ, body):
    content = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "UNSIGNED-PAYLOAD")
    if len(content) == 64 and content != hashlib.sha256(body).hexdigest():
        return "XAmzContentSHA256Mismatch"
    for header, algorithm in [("HTTP_X_AMZ_CHECKSUM_SHA256", "sha256"), ("HTTP_CONTENT_MD5", "md5")]:
        given = environ.get(header)
        if given is not None and given != base64.b64encode(hashlib.new(algorithm, body).digest()).decode():
            return "BadDigest"
    return None


class Server(DomainDispatcherApplication):
    def __init__(self):
        super().__init__(create_backend_app)
        self.one_at_a_time = threading.Lock()

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        code = wrong_digest(environ, body)
        if code is not None:
            start_response("400 Bad Request", [("Content-Type", "application/xml")])
            return [REFUSAL.format(code).encode()]
        with self.one_at_a_time:
            return list(super().__call__(environ, start_response))


server = make_server("127.0.0.1", 0, Server(), threaded=True, request_handler=MotoRequestHandler)
print(f"http://127.0.0.1:{server.port}", flush=True)
server.serve_forever()
