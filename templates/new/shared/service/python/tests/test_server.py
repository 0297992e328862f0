import os
import signal
import threading
import unittest
import urllib.request

from server import Server, serve


class OperationsTest(unittest.TestCase):
    def setUp(self):
        self.problem = None
        self.server = Server(0, lambda *_: (404, b"not found\n"), lambda: self.problem)
        self.addCleanup(self.server.server_close)

    def test_health_and_metrics_are_answered(self):
        self.assertEqual(self.server.answer("GET", "/healthz", b""), (200, b"ok\n"))
        self.assertIn(b"\n{{ metric }} ", self.server.answer("GET", "/metrics", b"")[1])
        self.problem = "broken"
        self.assertEqual(self.server.answer("GET", "/healthz", b""), (503, b"broken"))

    def test_it_answers_until_it_is_asked_to_stop(self):
        statuses = []

        def visit():
            url = f"http://127.0.0.1:{self.server.server_port}/healthz"
            statuses.append(urllib.request.urlopen(url).status)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Timer(0.1, visit).start()
        serve(self.server)
        self.assertEqual(statuses, [200])
