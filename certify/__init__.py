"""Prove the accuracy of small neural networks; the proof is a file that a separate program checks.

This package is the prover's side: it reads models, trains and evaluates them
and writes certificates.  It computes in floating point and is never trusted.
The package ``checker``, which shares no code with it, decides.
"""

from certify.errors import CertifyError
from certify.model.config import Config
from certify.model.file import Model, load_model, save_model

__version__ = "0.1.0"

__all__ = ["CertifyError", "Config", "Model", "load_model", "save_model"]
