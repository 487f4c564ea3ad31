"""The sweeps: which runs, over which task, trained how, run by whom, and the studies that ask a question."""
