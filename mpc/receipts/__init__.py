"""Receipts: the append-only log of a contract, and the signed statement that proves one release."""
