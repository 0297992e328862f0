import unittest

from main import PATIENCE, Worker
from server import items


class WorkerTest(unittest.TestCase):
    def test_an_item_is_processed(self):
        worker = Worker()
        worker.last -= PATIENCE + 1
        self.assertIsNotNone(worker.problem())
        before = items.value
        worker.process()
        self.assertEqual(items.value, before + 1)
        self.assertIsNone(worker.problem())

    def test_it_stops_when_it_is_asked_to(self):
        worker = Worker()
        worker.stopped.set()
        worker.run()
