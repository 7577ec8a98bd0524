"""Reference values of every format: what a contract's list of enclaves, or a file of reference values, may hold."""

from typing import Annotated

from pydantic import Field

from mpc.evidence.claims import SimulatedReference, TpmReference

ReferenceValues = Annotated[SimulatedReference | TpmReference, Field(discriminator="format")]
