"""Takes people, and old days, out of lake and journal."""
