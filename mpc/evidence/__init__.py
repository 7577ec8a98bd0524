"""Evidence of trusted execution environments: parse, verify, appraise, with no network (RFC 9334)."""
