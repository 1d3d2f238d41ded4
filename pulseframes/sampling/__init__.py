"""Survey sampling, frame in and frame out."""
