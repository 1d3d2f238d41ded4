"""Everything that spends calls."""
