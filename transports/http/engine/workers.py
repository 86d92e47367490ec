"""waitress's worker threads, which tell when the system has no thread left."""

import logging

from waitress.task import ThreadedTaskDispatcher


class Workers(ThreadedTaskDispatcher):
    """What waitress calls a task dispatcher."""

    # It warns whenever a request waits for a moment, which is no news.
    queue_logger = logging.getLogger("waitress.queue")
    queue_logger.setLevel("ERROR")

    def start_new_thread(self, target, thread_no):
        """Called by set_thread_count, which has counted it already. Raises RuntimeError."""
        try:
            super().start_new_thread(target, thread_no)
        except RuntimeError:
            self.threads.discard(thread_no)
            raise
