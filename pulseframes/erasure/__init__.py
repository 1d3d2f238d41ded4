"""Erases people, and old data, from lake and journal."""
