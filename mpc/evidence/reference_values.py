"""Reference values of every format: what a contract's list of enclaves, or a file of reference values, may hold."""

from typing import Annotated

from pydantic import Field

from mpc.evidence.azure.reference import AzureReference
from mpc.evidence.claims import SimulatedReference, TpmReference
from mpc.evidence.enarx.policy import EnarxReference
from mpc.evidence.intel.reference import SgxReference, TdxReference
from mpc.evidence.keystone.reference import KeystoneReference
from mpc.evidence.nitro.reference import NitroReference
from mpc.evidence.snp.reference import SnpReference
from mpc.evidence.veracruz.reference import VeracruzReference

ReferenceValues = Annotated[
    SimulatedReference
    | TpmReference
    | KeystoneReference
    | NitroReference
    | AzureReference
    | SnpReference
    | EnarxReference
    | SgxReference
    | TdxReference
    | VeracruzReference,
    Field(discriminator="format"),
]  # fmt: skip
