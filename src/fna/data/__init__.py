"""The users' data: layouts found on disk, pixels read, training samples drawn, problems named."""
