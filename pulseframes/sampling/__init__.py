"""Survey statistics, frame in and frame out: draw a sample of sessions, weight it, and estimate from it."""
