"""What decides: the ledger, the reading of the tiers file, and the words that describe tiers."""
