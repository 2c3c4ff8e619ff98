"""What the quota package talks about: money, tiers and the ledger's views. No input or output here."""
