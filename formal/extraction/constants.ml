(* Every Extract Constant of Extract.v against the function of Coq's library that it stands for: random integers of
   many sizes, and the edges.  The reference is extracted with Coq's own binary numbers. *)
module Big = Z
module R = Reference

let rec pos_of n =
  if Big.equal n Big.one then R.XH
  else if Big.is_even n then R.XO (pos_of (Big.shift_right n 1)) else R.XI (pos_of (Big.shift_right n 1))
let z_of n = match Big.sign n with 0 -> R.Z0 | s when s > 0 -> R.Zpos (pos_of n) | _ -> R.Zneg (pos_of (Big.neg n))
let rec of_pos = function
  | R.XH -> Big.one | R.XO p -> Big.shift_left (of_pos p) 1 | R.XI p -> Big.succ (Big.shift_left (of_pos p) 1)
let of_z = function R.Z0 -> Big.zero | R.Zpos p -> of_pos p | R.Zneg p -> Big.neg (of_pos p)
let rec nat_of n = if n = 0 then R.O else R.S (nat_of (n - 1))
let rec of_nat = function R.O -> 0 | R.S n -> 1 + of_nat n

let cases = ref 0 and different = ref 0
let check name equal =
  incr cases;
  if not equal then (incr different; Printf.printf "DIFFERENT %s\n" name)
let say1 name a = name ^ " " ^ Big.to_string a
let say2 name a b = say1 name a ^ " " ^ Big.to_string b

let random_big () =
  let bits = List.nth [ 1; 3; 8; 31; 62; 63; 64; 65; 100; 200; 700 ] (Random.int 11) in
  let rec draw left acc =
    if left <= 0 then acc else draw (left - 16) (Big.add (Big.shift_left acc 16) (Big.of_int (Random.int 65536))) in
  let n = Big.extract (draw bits Big.zero) 0 bits in
  if Random.bool () then n else Big.neg n
let edges =
  let around n = [ Big.pred n; n; Big.succ n ] in
  let powers = List.concat_map (fun e -> around (Big.shift_left Big.one e)) [ 0; 1; 2; 30; 31; 61; 62; 63; 64; 128 ] in
  powers @ List.map Big.neg powers
let pick () = if Random.int 4 = 0 then List.nth edges (Random.int (List.length edges)) else random_big ()

let binary name ours theirs a b = check (say2 name a b) (Big.equal (ours a b) (of_z (theirs (z_of a) (z_of b))))
let relation name ours theirs a b = check (say2 name a b) (ours a b = theirs (z_of a) (z_of b))
let unary name ours theirs a = check (say1 name a) (Big.equal (ours a) (of_z (theirs (z_of a))))
let tests name ours theirs a b = check (Printf.sprintf "nat %s %d %d" name a b) (ours a b = theirs (nat_of a) (nat_of b))

let () =
  Random.init 1;
  let count = int_of_string Sys.argv.(1) in
  let module C = Checked.Z in
  for _ = 1 to count do
    let a = pick () and b = pick () and n = Big.of_int (Random.int 300 - 100) in
    binary "div" C.div R.Z.div a b; binary "modulo" C.modulo R.Z.modulo a b;
    binary "land" C.coq_land R.Z.coq_land a b; binary "lor" C.coq_lor R.Z.coq_lor a b;
    binary "max" C.max R.Z.max a b; binary "min" C.min R.Z.min a b;
    binary "shiftr" C.shiftr R.Z.shiftr a n; binary "shiftl" C.shiftl R.Z.shiftl a n;
    binary "pow" C.pow R.Z.pow a (Big.of_int (Random.int 12 - 3));
    binary "add" C.add R.Z.add a b; binary "sub" C.sub R.Z.sub a b; binary "mul" C.mul R.Z.mul a b;
    relation "eqb" C.eqb R.Z.eqb a b; relation "eqb" C.eqb R.Z.eqb a a;
    relation "leb" C.leb R.Z.leb a b; relation "leb" C.leb R.Z.leb a a;
    relation "ltb" C.ltb R.Z.ltb a b; relation "ltb" C.ltb R.Z.ltb a a;
    unary "sqrt" C.sqrt R.Z.sqrt a; unary "log2" C.log2 R.Z.log2 a; unary "opp" C.opp R.Z.opp a;
    unary "abs" C.abs R.Z.abs a; unary "pred" C.pred R.Z.pred a;
    let small = Big.of_int (Random.int 2000 - 500) in
    check (say1 "to_nat" small) (C.to_nat small = of_nat (R.Z.to_nat (z_of small)));
    let i = Random.int 1000 and j = Random.int 1000 in
    check (Printf.sprintf "of_nat %d" i) (Big.equal (C.of_nat i) (of_z (R.Z.of_nat (nat_of i))));
    tests "ltb" Checked.Nat.ltb R.Nat.ltb i j; tests "ltb" Checked.Nat.ltb R.Nat.ltb i i;
    check (Printf.sprintf "pred %d" i) (Checked.pred (min i 1) = of_nat (R.Nat.pred (nat_of (min i 1))));
    let size = Random.int 20 and at = Random.int 30 in
    let f i = Big.of_int (i * i - 7) in
    check (Printf.sprintf "memo %d %d" size at)
      (Big.equal (Checked.memo size f a at) (of_z (R.memo_z (nat_of size) (fun i -> z_of (f (of_nat i))) (z_of a) (nat_of at))));
    (* asked twice, so that the second answer is the one kept *)
    let g = Checked.recall (fun x -> Big.add x b) in
    let h = R.recall_z (fun x -> z_of (Big.add (of_z x) b)) in
    List.iter (fun x -> check (say2 "recall" x b) (Big.equal (g x) (of_z (h (z_of x))))) [ a; small; a; small ]
  done;
  Printf.printf "constants cases=%d different=%d\n" !cases !different;
  exit (if !different > 0 then 1 else 0)
