"""The log against the known answers of Certificate Transparency, and against a log that rewrites itself."""

from dataclasses import dataclass
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.canonical import canonical_json
from mpc.contract.statements import Checkpoint
from mpc.errors import Malformed, Untrusted
from mpc.receipts.log import (
    EMPTY_ROOT,
    Log,
    leaf_hash,
    node_hash,
    sign_checkpoint,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
)
from mpc.signing import Purpose, SigningKey

# The eight leaves of Certificate Transparency's reference tests (google/certificate-transparency, merkle_tree_test),
# and the roots of their first n.
CT_LEAVES = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
)  # fmt: skip
CT_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
CT = Log(CT_LEAVES)

CONTRACT, INSTANCE = "aa" * 32, SigningKey(bytes(32))


def test_roots_are_those_of_certificate_transparency() -> None:
    assert EMPTY_ROOT.hex() == CT_ROOTS[0]
    assert [CT.root(size).hex() for size in range(9)] == list(CT_ROOTS)
    growing = Log()
    for size, leaf in enumerate(CT_LEAVES):
        assert growing.append(leaf) == size
        assert growing.root().hex() == CT_ROOTS[size + 1]


def test_proofs_are_those_of_rfc_9162() -> None:
    """RFC 9162, 2.1.5: the tree of seven leaves with its nodes a..l, and the proofs written out there."""
    leaves = tuple(b"d%d" % index for index in range(7))
    log = Log(leaves)
    a, b, c, d, e, f = map(leaf_hash, leaves[:6])
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    j = leaf_hash(leaves[6])
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the names of the RFC
    assert log.inclusion(0) == (b, h, l)
    assert log.inclusion(3) == (c, g, l)
    assert log.inclusion(4) == (f, j, k)
    assert log.inclusion(6) == (i, k)
    assert log.consistency(3) == (c, d, g, l)
    assert log.consistency(4) == (l,)
    assert log.consistency(6) == (i, j, k)
    assert log.root() == node_hash(k, l)


def test_proofs_are_those_of_certificate_transparency() -> None:
    """The inclusion and consistency proofs of the reference tests, over the eight leaves (1-based there)."""
    inclusion = {
        (0, 8): (
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ),
        (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    }
    for (index, size), expected in inclusion.items():
        assert [node.hex() for node in CT.inclusion(index, size)] == list(expected)
    consistency = {
        (1, 8): inclusion[0, 8],
        (2, 5): (
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ),
    }
    for (old, new), expected in consistency.items():
        assert [node.hex() for node in CT.consistency(old, new)] == list(expected)


def test_every_proof_of_small_logs_holds() -> None:
    log = Log(b"%d" % index for index in range(33))
    proofs = 0
    for size in range(1, 34):
        for index in range(size):
            verify_inclusion(b"%d" % index, index, size, log.inclusion(index, size), log.root(size))
            proofs += 1
        for old in range(size + 1):
            verify_consistency(old, log.root(old), size, log.root(size), log.consistency(old, size))
            proofs += 1
    assert proofs == 33 * 34 // 2 + 33 * 36 // 2


@dataclass(frozen=True)
class Claim:
    """What a lying log says: everything a verifier is given."""

    leaf: bytes
    index: int
    size: int
    proof: tuple[bytes, ...]
    root: bytes


def mangled(data: st.DataObject, proof: tuple[bytes, ...]) -> tuple[bytes, ...]:
    nodes = list(proof)
    match data.draw(st.sampled_from(["add", "shorten", "change", "drop", "swap"])):
        case "add":
            nodes.insert(data.draw(st.integers(0, len(nodes))), bytes(32))
        case "drop" if nodes:
            del nodes[data.draw(st.integers(0, len(nodes) - 1))]
        case "shorten" if nodes:
            at = data.draw(st.integers(0, len(nodes) - 1))
            nodes[at] = nodes[at][:31]
        case "swap" if len(nodes) > 1:
            nodes[0], nodes[-1] = nodes[-1], nodes[0]
        case _ if nodes:
            at = data.draw(st.integers(0, len(nodes) - 1))
            nodes[at] = sha256(nodes[at]).digest()
        case _:
            nodes.append(bytes(32))
    return tuple(nodes)


@settings(max_examples=70, deadline=None)
@given(data=st.data(), size=st.integers(1, 70))
def test_a_mangled_inclusion_refuses(data: st.DataObject, size: int) -> None:
    log = Log(b"%d" % index for index in range(size))
    index = data.draw(st.integers(0, size - 1))
    true = Claim(b"%d" % index, index, size, log.inclusion(index), log.root())
    lies = [
        Claim(b"another", index, size, true.proof, true.root),
        Claim(true.leaf, index, size, true.proof, bytes(32)),
        Claim(true.leaf, index, size, mangled(data, true.proof), true.root),
        Claim(true.leaf, size, size, true.proof, true.root),
        Claim(true.leaf, -1, size, true.proof, true.root),
    ]
    lies += [Claim(true.leaf, other, size, true.proof, true.root) for other in range(size) if other != index]
    for lie in lies:
        with pytest.raises(Untrusted) as refusal:
            verify_inclusion(lie.leaf, lie.index, lie.size, lie.proof, lie.root)
        assert refusal.value.code == "log.inclusion"


@settings(max_examples=70, deadline=None)
@given(data=st.data(), new=st.integers(1, 70))
def test_a_log_that_does_not_extend_the_old_one_refuses(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new))
    before, after = Log(b"%d" % index for index in range(old)), Log(b"%d" % index for index in range(new))
    forked = Log(b"%d" % (index if index != data.draw(st.just(old - 1)) else 1000) for index in range(new))
    proof = after.consistency(old)
    lies = [
        (old, before.root(), new, forked.root(), forked.consistency(old)),
        (old, before.root(), new, forked.root(), proof),
        (old, bytes(32), new, after.root(), proof),
        (old, before.root(), new, after.root(), mangled(data, proof)),
        (new + 1, before.root(), new, after.root(), proof),
        (0, before.root(), new, after.root(), ()),
        (0, EMPTY_ROOT, new, after.root(), (bytes(32),)),
    ]
    for lie in lies:
        with pytest.raises(Untrusted) as refusal:
            verify_consistency(*lie)
        assert refusal.value.code == "log.consistency"


def test_a_leaf_is_no_node() -> None:
    # Without the two prefixes an inner node could be shown as a leaf (RFC 9162, 2.1.1).
    inner = CT.inclusion(0, 8)[1]
    left = leaf_hash(CT_LEAVES[2]) + leaf_hash(CT_LEAVES[3])
    assert node_hash(left[:32], left[32:]) == inner
    with pytest.raises(Untrusted):
        verify_inclusion(left, 1, 4, (CT.root(2), CT.inclusion(0, 8)[2]), CT.root(8))
    assert leaf_hash(b"") != EMPTY_ROOT


def test_a_state_beyond_the_log_refuses() -> None:
    for attempt in (lambda: CT.root(9), lambda: CT.inclusion(8), lambda: CT.consistency(9), lambda: CT.inclusion(3, 3)):
        with pytest.raises(Malformed) as refusal:
            attempt()
        assert refusal.value.code == "log.range"


def test_leaves_are_kept_as_they_came() -> None:
    assert CT.leaves() == CT_LEAVES
    assert CT.leaves(6) == CT_LEAVES[6:]
    assert CT.leaves(1, 2) == (b"\0",)


def test_a_leaf_is_no_place_for_data() -> None:
    with pytest.raises(ValueError, match="place for data"):
        Log().append(bytes(1 << 20))


def checkpoint(**fields: object) -> Checkpoint:
    stated = {
        "contract": CONTRACT, "instance": INSTANCE.public.keyid, "size": 8, "root": CT_ROOTS[8],
        "time": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return Checkpoint.model_validate({**stated, **fields})


def test_a_checkpoint_holds_for_its_contract_instance_and_signer() -> None:
    envelope = sign_checkpoint(checkpoint(), INSTANCE)
    keys = (INSTANCE.public,)
    signed = verify_checkpoint(envelope, contract=CONTRACT, instance=INSTANCE.public.keyid, keys=keys)
    assert signed.checkpoint == checkpoint()
    assert signed.signer == INSTANCE.public


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (sign_checkpoint(checkpoint(contract="bb" * 32), INSTANCE), "checkpoint.contract"),
        (sign_checkpoint(checkpoint(instance="bb" * 32), INSTANCE), "checkpoint.instance"),
        (sign_checkpoint(checkpoint(), SigningKey(bytes([9]) * 32)), "signature.foreign"),
        (INSTANCE.envelope(Purpose.PERMIT, canonical_json(checkpoint())), "signature.purpose"),
    ],
)
def test_another_checkpoint_refuses(envelope: bytes, code: str) -> None:
    with pytest.raises(Untrusted) as refusal:
        verify_checkpoint(envelope, contract=CONTRACT, instance=INSTANCE.public.keyid, keys=(INSTANCE.public,))
    assert refusal.value.code == code
