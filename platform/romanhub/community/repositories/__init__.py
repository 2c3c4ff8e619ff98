"""Git repositories of notebooks that people register: read, and read again when they change."""
