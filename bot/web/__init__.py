"""The HTTP edge: health, and the routes that plugins register."""
