"""What a task adds to the method: one folder a task, and one row in `fna.tasks.kinds`."""
