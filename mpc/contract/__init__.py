"""The contract: its terms, its exact bytes, everyone's signature on them, and what they mean in plain words."""
