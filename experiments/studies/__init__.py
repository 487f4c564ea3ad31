"""The studies: one file each, with its question, what is expected, and the grid that answers it."""
