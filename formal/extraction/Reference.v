(** The library's own functions, extracted without a word of trust: what constants.ml compares Extract.v with. *)
Require Import ZArith.
From Certify Require Import ExpZ.
Require Import ExtrOcamlBasic.
Definition memo_z := @memo Z.
Definition recall_z := @recall Z.
Extraction "reference.ml" Z.shiftr Z.shiftl Z.eqb Z.leb Z.ltb Z.sqrt Z.pow Z.log2 Z.div Z.modulo Z.land Z.lor Z.max Z.min
  Z.to_nat Z.of_nat Z.add Z.sub Z.mul Z.opp Z.abs Z.succ Z.pred Z.compare Z.ones Nat.eqb Nat.leb Nat.ltb Nat.max Nat.add Nat.sub Nat.mul Nat.pred memo_z recall_z.
