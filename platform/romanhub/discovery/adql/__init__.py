"""ADQL: from its text to a statement of the database's, which can only read what its sender may read."""
