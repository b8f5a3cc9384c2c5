"""What an allowed float32 execution may do.  (SPEC-12, SPEC-13.7)"""
