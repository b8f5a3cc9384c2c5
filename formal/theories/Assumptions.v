(** What the theorem stands on: compared with assumptions.txt by the build. *)
Require Certify.Theorem.
Print Assumptions Certify.Theorem.verified.
Print Assumptions Certify.Theorem.verified_uniform.
