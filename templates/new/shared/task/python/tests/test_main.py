import unittest

import main


class TaskTest(unittest.TestCase):
    def tearDown(self):
        main.stopped.clear()

    def test_all_items_are_processed(self):
        self.assertEqual(main.run(["a", "b"]), 2)

    def test_it_stops_between_items(self):
        main.stopped.set()
        self.assertEqual(main.run(["a"]), 0)
