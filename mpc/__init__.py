"""Sealroom's library and coordinator: contracts, evidence, sealing, engines, disclosure control, receipts."""
