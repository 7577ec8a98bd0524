"""What may be asked: the terms of a question, and what reading one says of the columns that it uses.

Nothing here computes an answer; ``mpc.engines`` does. A party reads questions with this package before it
signs, the enclave reads them with the same code before it runs.
"""
