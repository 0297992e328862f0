import tempfile
import unittest

from main import Store


class StoreTest(unittest.TestCase):
    def test_a_value_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            for method, body, expected in [
                ("GET", b"", (404, b"not found\n")),
                ("PUT", b"one", (204, b"")),
                ("PUT", b"two", (204, b"")),
                ("GET", b"", (200, b"two")),
                ("DELETE", b"", (204, b"")),
                ("GET", b"", (404, b"not found\n")),
            ]:
                self.assertEqual(store.routes(method, "/keys/../a", body), expected)
            self.assertIsNone(store.problem())
        self.assertIsNotNone(store.problem())
