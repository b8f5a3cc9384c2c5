"""An independent, exact checker of accuracy certificates.  Standard library only; see SPEC.md."""

__version__ = "0.1.0"
