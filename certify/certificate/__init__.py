"""The certificate as a document, the checker that decides about it, and what it claims."""
