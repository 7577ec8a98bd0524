"""A party's side: its keys, its own data, its own judgement of the enclave, and its own record of what it signed."""
