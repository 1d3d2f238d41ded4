"""A lake's tables copied to table formats that other engines read: Delta Lake and Apache Iceberg."""
