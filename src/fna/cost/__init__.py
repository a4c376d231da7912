"""What a network costs, counted from data."""
