"""What an allowed float32 execution may do.  (SPEC 12, 13.7)"""
