"""Reference values of every format: what a contract's list of enclaves, or a file of reference values, may hold."""

from typing import Annotated

from pydantic import Field

from mpc.evidence.claims import SimulatedReference, TpmReference
from mpc.evidence.reference_values.azure import AzureReference
from mpc.evidence.reference_values.enarx import EnarxReference
from mpc.evidence.reference_values.intel import SgxReference, TdxReference
from mpc.evidence.reference_values.keystone import KeystoneReference
from mpc.evidence.reference_values.nitro import NitroReference
from mpc.evidence.reference_values.snp import SnpReference
from mpc.evidence.reference_values.veracruz import VeracruzReference

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
