"""Studies told in Python: who takes part, which columns, which questions, under which rules."""
