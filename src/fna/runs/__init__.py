"""What a run is: its folder and the processes that work on it."""
