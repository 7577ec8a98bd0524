"""The coordinator: the enclave's side of a contract, from attestation to the sealed result.

One process is one instance, serves one contract, and drops every key by ending::

    service         the door: gRPC in, refusals out                 admission  limits before and after authentication
    instance        attestation and consents                        agreed     what all have signed, until its ending
    journal         the log, which obeys mpc.session                state      what of it lies on disk, and how
    uploads         sealed chunks in, durable and loaded            vault      ciphertext on disk, as it came
    runs            permitted runs, released and sealed             loader, runner, sandbox   the children
"""
