"""Prove the accuracy of small neural networks; the proof is a file that a separate program checks.

This package is the prover's side: it reads models, trains and evaluates them and writes
certificates.  It computes in floating point and is never trusted.  The package ``checker``, which
shares no code with it, decides.

Layers; a package imports from those above it, and from nothing below or beside it:

    errors, canonical, progress, decimals, columns, archive
    files
    model           configuration, file, forward pass, path decomposition, importers
    question        domains, rules over their values, tables, scopes, the float32 semantics
    training, evaluation, audit
    certificate     a job, its document, the checker's client, the loop draft-check-claim-verify
    ladder          many proofs of one model; knows no family
    report          the page for people; knows no family
    family          what is asked about a family of proofs
    cells, sums, leaves
    chain           made of cells
    wide            cells of models with several heads, on the parts of cells
    families        the table of families: one row adds one
    api             the functions below
    sweep           many proofs of many models, kept by content
    lab             experiments on models, over what is verified
    command         the command line
"""

__version__ = "0.1.0"

from certify.api import evaluate, prove, verify
from certify.certificate.client import Verdict
from certify.certificate.finish import Certificate
from certify.errors import CertifyError
from certify.evaluation.tally import Evaluation
from certify.model import Config, Model, import_model, load_model, save_model
from certify.question.float32 import Float32
from certify.sweep.results import Sweep
from certify.sweep.run import run_sweep

__all__ = [
    "load_model",
    "import_model",
    "save_model",
    "evaluate",
    "prove",
    "verify",
    "run_sweep",
    "Model",
    "Config",
    "Float32",
    "Evaluation",
    "Certificate",
    "Verdict",
    "Sweep",
    "CertifyError",
]
