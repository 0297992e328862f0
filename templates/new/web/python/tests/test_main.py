import unittest

from main import routes


class RoutesTest(unittest.TestCase):
    def test_the_routes_answer(self):
        self.assertEqual(routes("GET", "/", b""), (200, b"hello from {{ name }}\n"))
        self.assertEqual(routes("GET", "/missing", b"")[0], 404)
