"""The model, the task and what is claimed, built from bytes.  (SPEC-4, SPEC-5)"""
