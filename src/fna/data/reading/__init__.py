"""From files to training samples."""
