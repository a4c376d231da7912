"""The configuration of a run: its keys and their types, what is left to task and head, and its files."""
