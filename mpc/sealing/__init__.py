"""Sealing: how rows, keys, shares and results travel so that one recipient alone can open them."""
