"""The loop that trains a network, its optimizer and schedules, and its evaluation."""
