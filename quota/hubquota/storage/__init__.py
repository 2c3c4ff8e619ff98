"""The ledger's database: tables, connections, migrations and statements."""
