(** The checker, extracted.  Every "Extract Constant" below is trusted; test_formal.py compares each with the
    function of the library that it stands for, on random integers and at the edges. *)
Require Import ZArith List.
From Certify Require Import ExpZ Paths Check.
Require Import ExtrOcamlBasic ExtrOcamlNatInt ExtrOcamlZBigInt.
Extract Constant Z.shiftr => "(fun x n -> if Z.sign n >= 0 then Z.shift_right x (Z.to_int n) else Z.shift_left x (- (Z.to_int n)))".
Extract Constant Z.shiftl => "(fun x n -> if Z.sign n >= 0 then Z.shift_left x (Z.to_int n) else Z.shift_right x (- (Z.to_int n)))".
Extract Constant Z.eqb => "Z.equal".
Extract Constant Z.leb => "Z.leq".
Extract Constant Z.ltb => "Z.lt".
Extract Constant Z.sqrt => "(fun x -> if Z.sign x <= 0 then Z.zero else Z.sqrt x)".
Extract Constant Z.pow => "(fun x n -> if Z.sign n < 0 then Z.zero else Z.pow x (Z.to_int n))".
Extract Constant Z.log2 => "(fun x -> if Z.sign x <= 0 then Z.zero else Z.of_int (Z.numbits x - 1))".
Extract Constant Z.div => "(fun a b -> if Z.sign b = 0 then Z.zero else Z.fdiv a b)".
Extract Constant Z.modulo => "(fun a b -> if Z.sign b = 0 then a else let r = Z.erem a b in if Z.sign b < 0 && Z.sign r > 0 then Z.add r b else r)".
Extract Constant Z.land => "Z.logand".
Extract Constant Z.lor => "Z.logor".
Extract Constant Z.max => "Z.max".
Extract Constant Z.min => "Z.min".
Extract Constant Z.to_nat => "(fun x -> if Z.sign x <= 0 then 0 else Z.to_int x)".
Extract Constant Z.of_nat => "Z.of_int".
Extract Constant memo => "(fun n f d -> let a = Array.init n f in fun i -> if i < n then Array.get a i else d)".
Extract Constant recall => "(fun f -> let known = Hashtbl.create 16 in fun x -> match Hashtbl.find_opt known x with Some y -> y | None -> let y = f x in Hashtbl.add known x y; y)".
Extraction Blacklist Z List.
Extraction "checked.ml" check.
