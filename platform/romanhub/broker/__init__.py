"""The credential broker behind the hub: short-lived keys for the storage, in exchange for a token of the hub."""
