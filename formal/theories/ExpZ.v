(** SPEC-6.3: the enclosure of exp(-y * 2^-scale) by tables and a Taylor sum, as an executable function over Z. *)
Require Import Reals Lra Lia ZArith Psatz List.
Import ListNotations.
Open Scope R_scope.

(** ** Tables: computed once, read often *)
Section Memo.
Context {A : Type}.
Definition memo (n : nat) (f : nat -> A) (d : A) : nat -> A :=
  let l := map f (seq 0 n) in fun i => nth i l d.
Lemma memo_eq n f d i : (i < n)%nat -> memo n f d i = f i.
Proof.
  intros H. unfold memo. rewrite (nth_indep _ d (f 0%nat)) by (rewrite map_length, seq_length; exact H).
  rewrite map_nth, seq_nth by exact H. reflexivity.
Qed.
(** Each value of a function, computed once. *)
Definition recall (f : Z -> A) : Z -> A := f.
End Memo.

(** ** The program *)
Definition shr (z n : Z) : Z := Z.shiftr z n.
Definition shl (z n : Z) : Z := Z.shiftl z n.
Definition shift_up (z n : Z) : Z := (- shr (- z) n)%Z.

Fixpoint horner (unit r W : Z) (j : nat) (p : Z) : Z :=
  match j with
  | O => p
  | S k => horner unit r W k (unit - shr (r * p) W / Z.of_nat j)%Z
  end.
Definition taylor (r W k : Z) : Z := horner (shl 1 W) r W (Z.to_nat ((W - 1) / k)) (shl 1 W).

(** [n + 1] enclosures: of a number, and of it times each of the first [n] powers of another. *)
Fixpoint powers (W low high : Z) (n : nat) (lo hi : Z) : list (Z * Z) :=
  (lo, hi) :: match n with O => [] | S m => powers W low high m (shr (lo * low) W) (shift_up (hi * high) W) end.
Definition powers_of (W : Z) (factor : Z * Z) (n : nat) : list (Z * Z) :=
  powers W (fst factor) (snd factor) n (shl 1 W) (shl 1 W).

Definition guard_bits : Z := 12.
Definition table_bits : Z := 36.
Definition lower_end (e : Z * Z) : Z := shr (fst e) table_bits.
Definition end_gap (e : Z * Z) : Z := (shift_up (snd e) table_bits - lower_end e)%Z.
Definition widest (l : list (Z * Z)) : Z := fold_right (fun e w => Z.max (end_gap e) w) 0%Z l.
Definition at_digit (l : list (Z * Z)) (d : nat) : Z * Z := nth d l (0, 0)%Z.
Definition lower_ends (n : nat) (l : list (Z * Z)) : nat -> Z := memo (S n) (fun d => lower_end (at_digit l d)) 0%Z.

Record exps := Exps { x_third : nat -> Z; x_second : nat -> Z; x_first : nat -> Z; x_whole : nat -> Z; x_last : nat; x_error : Z }.
Definition exp_tables (P : Z) : exps :=
  (let finer := P + guard_bits + table_bits in
   let p := taylor (shl 1 (finer - 27)) finer 27 in
   let third := powers_of finer (Z.max 0 (p - 4), p + 4) 512 in
   let second := powers_of finer (at_digit third 512) 512 in
   let first := powers_of finer (at_digit second 512) 512 in
   let last := Z.to_nat (694 * P / 1000) in
   let whole := powers_of finer (at_digit first 512) last in
   let widest := Z.max (Z.max (widest third) (widest second)) (Z.max (widest first) (widest whole)) in
   Exps (lower_ends 512 third) (lower_ends 512 second) (lower_ends 512 first) (lower_ends last whole) last
        (4 * widest + 8 + 4))%Z.
Definition tables_of : Z -> exps := recall exp_tables.

(** What both ends are made of: None where the integer part is beyond the tables. *)
Definition exp_product (y scale P : Z) (T : exps) : option Z :=
  (let W := P + guard_bits in
   let r := if scale <=? W then shl y (W - scale) else shr y (scale - W) in
   let digits := shr r (W - 27) in
   let units := shr digits 27 in
   if Z.of_nat (x_last T) <? units then None
   else
    let rest := r - shl digits (W - 27) in
    let p := shr (x_whole T (Z.to_nat units) * x_first T (Z.to_nat (Z.land (shr digits 18) 511))) W in
    let p := shr (p * x_second T (Z.to_nat (Z.land (shr digits 9) 511))) W in
    let p := shr (p * x_third T (Z.to_nat (Z.land digits 511))) W in
    Some (shr (p * Z.max 0 (taylor rest W 27 - 4)) W))%Z.
Definition exp_lower (y scale P : Z) : Z :=
  if (y =? 0)%Z then shl 1 P
  else match exp_product y scale P (tables_of P) with
       | None => 0%Z
       | Some p => shr p guard_bits
       end.
Definition exp_upper (y scale P : Z) : Z :=
  if (y =? 0)%Z then shl 1 P
  else let T := tables_of P in
       match exp_product y scale P T with
       | None => 1%Z
       | Some p => Z.min (shift_up (p + x_error T) guard_bits) (shl 1 P)
       end.
Definition exp_enclosure (y scale P : Z) : Z * Z := (exp_lower y scale P, exp_upper y scale P).

(** ** Integers and reals *)
Definition p2 (n : Z) : R := IZR (2 ^ n).

Lemma p2_pos n : (0 <= n)%Z -> 0 < p2 n.
Proof. intros. unfold p2. apply IZR_lt. apply Z.pow_pos_nonneg; lia. Qed.

Lemma p2_plus a b : (0 <= a)%Z -> (0 <= b)%Z -> p2 (a + b) = p2 a * p2 b.
Proof. intros. unfold p2. rewrite Z.pow_add_r, mult_IZR; auto. Qed.

Lemma p2_ge_1 n : (0 <= n)%Z -> 1 <= p2 n.
Proof. intros. unfold p2. apply IZR_le. assert (0 < 2 ^ n)%Z by (apply Z.pow_pos_nonneg; lia). lia. Qed.

Lemma shr_spec z n : (0 <= n)%Z -> IZR (shr z n) * p2 n <= IZR z < (IZR (shr z n) + 1) * p2 n.
Proof.
  intros Hn. unfold shr, p2. rewrite Z.shiftr_div_pow2 by exact Hn.
  assert (Hp : (0 < 2 ^ n)%Z) by (apply Z.pow_pos_nonneg; lia).
  pose proof (Z.div_mod z (2 ^ n) ltac:(lia)) as E. pose proof (Z.mod_pos_bound z (2 ^ n) Hp) as B.
  rewrite <- plus_IZR, <- !mult_IZR. split; [apply IZR_le | apply IZR_lt]; nia.
Qed.

Lemma shift_up_spec z n : (0 <= n)%Z -> IZR z <= IZR (shift_up z n) * p2 n.
Proof.
  intros Hn. unfold shift_up. destruct (shr_spec (- z) n Hn) as [H _]. rewrite opp_IZR in *. lra.
Qed.

Lemma shl_spec z n : (0 <= n)%Z -> IZR (shl z n) = IZR z * p2 n.
Proof. intros Hn. unfold shl, p2. rewrite Z.shiftl_mul_pow2, mult_IZR; auto. Qed.

(** [lo] and [hi] enclose [v] in units of 2^-P. *)
Definition encl (P lo hi : Z) (v : R) : Prop := IZR lo <= v * p2 P <= IZR hi.

(** ** Taylor *)
Lemma exp_taylor x N : 0 <= x <= 1 ->
  Rabs (exp (- x) - sum_f_R0 (fun i => (- x) ^ i / INR (fact i)) N) <= x ^ S N / INR (fact (S N)).
Proof.
  intros [H0 H1]. set (U := fun i : nat => x ^ i / INR (fact i)).
  assert (T : forall i, tg_alt U i = (- x) ^ i / INR (fact i)).
  { intros i. unfold tg_alt, U. replace (- x) with (-1 * x) by ring. rewrite Rpow_mult_distr. unfold Rdiv. ring. }
  assert (D : Un_decreasing U).
  { intros i. unfold U. rewrite fact_simpl, mult_INR. simpl (x ^ S i).
    assert (0 < INR (fact i)) by apply INR_fact_lt_0. assert (1 <= INR (S i)) by (rewrite S_INR; pose proof (pos_INR i); lra).
    assert (0 <= x ^ i) by (apply pow_le; lra).
    replace (x * x ^ i / (INR (S i) * INR (fact i))) with (x ^ i / INR (fact i) * (x / INR (S i))) by (field; lra).
    assert (x / INR (S i) <= 1).
    { apply Rmult_le_reg_r with (INR (S i)); [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
    assert (0 <= x ^ i / INR (fact i)).
    { apply Rmult_le_pos; [auto|]. apply Rlt_le, Rinv_0_lt_compat; auto. }
    replace (x ^ i / INR (fact i)) with (x ^ i / INR (fact i) * 1) at 2 by ring.
    apply Rmult_le_compat_l; auto. }
  assert (C : Un_cv U 0) by apply cv_speed_pow_fact.
  assert (E : Un_cv (fun n => sum_f_R0 (tg_alt U) n) (exp (- x))).
  { unfold exp. destruct (exist_exp (- x)) as [l Hl]. simpl. unfold exp_in, infinite_sum in Hl.
    intros eps He. destruct (Hl eps He) as [n0 Hn]. exists n0. intros n Hge.
    rewrite (sum_eq _ (fun i => / INR (fact i) * (- x) ^ i)); [apply Hn; exact Hge|].
    intros i _. rewrite T. unfold Rdiv. ring. }
  rewrite <- (sum_eq (tg_alt U)) by (intros; apply T).
  change (x ^ S N / INR (fact (S N))) with (U (S N)).
  assert (S1 : sum_f_R0 (tg_alt U) (S N) = sum_f_R0 (tg_alt U) N + tg_alt U (S N)) by reflexivity.
  destruct (Nat.Even_or_Odd N) as [[M HM]|[M HM]].
  - destruct (alternated_series_ineq U (exp (- x)) M D C E) as [A B].
    replace (2 * M)%nat with N in A, B by lia.
    rewrite S1 in A. unfold tg_alt at 2 in A.
    assert (O : (-1) ^ S N = -1) by (replace (S N) with (S (2 * M)) by lia; apply pow_1_odd).
    rewrite O in A. apply Rabs_le. lra.
  - destruct (alternated_series_ineq U (exp (- x)) M D C E) as [A _].
    destruct (alternated_series_ineq U (exp (- x)) (S M) D C E) as [_ B].
    replace (S (2 * M)) with N in A by lia. replace (2 * S M)%nat with (S N) in B by lia.
    rewrite S1 in B. unfold tg_alt at 2 in B.
    assert (O : (-1) ^ S N = 1) by (replace (S N) with (2 * S M)%nat by lia; apply pow_1_even).
    rewrite O in B. apply Rabs_le. lra.
Qed.

(** ** Horner *)
Fixpoint hornerR (rho : R) (j : nat) (x : R) : R :=
  match j with O => x | S k => hornerR rho k (1 - rho * x / INR j) end.

Lemma hornerR_sum rho j x : hornerR rho (S j) x =
  sum_f_R0 (fun i => (- rho) ^ i / INR (fact i)) j + (- rho) ^ S j / INR (fact (S j)) * x.
Proof.
  revert x. induction j; intros x.
  - simpl. field.
  - change (hornerR rho (S (S j)) x) with (hornerR rho (S j) (1 - rho * x / INR (S (S j)))).
    rewrite IHj. change (sum_f_R0 ?f (S j)) with (sum_f_R0 f j + f (S j)). cbv beta.
    rewrite (fact_simpl (S j)), mult_INR. change ((- rho) ^ S (S j)) with (- rho * (- rho) ^ S j).
    field. split; [apply INR_fact_neq_0|]. apply not_0_INR; lia.
Qed.

Lemma horner_error W r j p x e :
  (0 <= W)%Z -> 0 <= IZR r <= p2 W / 2 -> 0 <= e <= 2 ->
  Rabs (IZR p - x * p2 W) <= e ->
  Rabs (IZR (horner (2 ^ W) r W j p) - hornerR (IZR r / p2 W) j x * p2 W) <= 2.
Proof.
  intros HW Hr. pose proof (p2_pos W HW) as HU. revert p x e. induction j; intros p x e He Hp.
  - simpl. lra.
  - cbn [horner hornerR]. apply IHj with (e := e / 2 + 1); [lra|].
    set (J := Z.of_nat (S j)). assert (HJ : (1 <= J)%Z) by (unfold J; lia).
    rewrite (INR_IZR_INZ (S j)). fold J. set (a := (shr (r * p) W / J)%Z).
    assert (HJR : 1 <= IZR J) by (apply (IZR_le 1); exact HJ).
    assert (A : IZR a * (IZR J * p2 W) <= IZR r * IZR p < (IZR a + 1) * (IZR J * p2 W)).
    { unfold a, shr. rewrite Z.shiftr_div_pow2 by exact HW.
      assert (H2 : (0 < 2 ^ W)%Z) by (apply Z.pow_pos_nonneg; lia).
      rewrite Z.div_div by lia. unfold p2. rewrite <- (mult_IZR J), <- (mult_IZR r), <- plus_IZR, <- !mult_IZR.
      assert (HB : (0 < 2 ^ W * J)%Z) by nia.
      pose proof (Z.div_mod (r * p) (2 ^ W * J) ltac:(lia)) as E. pose proof (Z.mod_pos_bound (r * p) (2 ^ W * J) HB) as B.
      split; [apply IZR_le | apply IZR_lt]; nia. }
    rewrite minus_IZR. change (IZR (2 ^ W)) with (p2 W).
    set (U := p2 W) in *. set (q := IZR r / U).
    assert (Hq : 0 <= q <= / 2).
    { unfold q. split; [apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|].
      apply Rmult_le_reg_r with U; [lra|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra. }
    assert (Er : IZR r = q * U) by (unfold q; field; lra). rewrite Er in A.
    assert (B : IZR a <= q * IZR p / IZR J < IZR a + 1).
    { split.
      - apply Rmult_le_reg_r with (IZR J * U); [apply Rmult_lt_0_compat; lra|].
        replace (q * IZR p / IZR J * (IZR J * U)) with (q * U * IZR p) by (field; lra). lra.
      - apply Rmult_lt_reg_r with (IZR J * U); [apply Rmult_lt_0_compat; lra|].
        replace (q * IZR p / IZR J * (IZR J * U)) with (q * U * IZR p) by (field; lra). lra. }
    replace (U - IZR a - (1 - q * x / IZR J) * U) with (q * IZR p / IZR J - IZR a - q * (IZR p - x * U) / IZR J) by (field; lra).
    set (d := IZR p - x * U) in *. assert (C : Rabs (q * d / IZR J) <= e / 2).
    { unfold Rdiv. rewrite !Rabs_mult, (Rabs_right q), (Rabs_right (/ IZR J)); try (apply Rle_ge).
      - assert (0 <= Rabs d) by apply Rabs_pos.
        assert (q * Rabs d <= / 2 * e) by (apply Rmult_le_compat; lra).
        assert (0 < / IZR J <= 1). { split; [apply Rinv_0_lt_compat; lra|]. rewrite <- Rinv_1. apply Rinv_le_contravar; lra. }
        assert (0 <= q * Rabs d) by (apply Rmult_le_pos; lra).
        assert (q * Rabs d * / IZR J <= q * Rabs d * 1) by (apply Rmult_le_compat_l; lra). lra.
      - apply Rlt_le, Rinv_0_lt_compat; lra.
      - lra. }
    assert (- (e / 2) <= q * d / IZR J <= e / 2) by (revert C; unfold Rabs; destruct (Rcase_abs _); lra).
    apply Rabs_le. lra.
Qed.

(** ** ln 2 < 0.694 *)
Lemma exp_0694 : exp (- (694 / 1000)) <= / 2.
Proof.
  pose proof (exp_taylor (694 / 1000) 6 ltac:(split; lra)) as H.
  cbn [sum_f_R0] in H. rewrite !INR_IZR_INZ in H.
  repeat match type of H with context [Z.of_nat (fact ?n)] =>
    let z := eval vm_compute in (Z.of_nat (fact n)) in change (Z.of_nat (fact n)) with z in H end.
  cbn [pow] in H. revert H; unfold Rabs; destruct (Rcase_abs _); intro H; lra.
Qed.

Lemma pow_exp x n : exp x ^ n = exp (INR n * x).
Proof.
  induction n; [simpl; rewrite Rmult_0_l, exp_0; reflexivity|].
  rewrite S_INR. simpl. rewrite IHn, <- exp_plus. f_equal. ring.
Qed.

Lemma exp_small x n : 694 / 1000 * IZR n <= x -> (0 <= n)%Z -> exp (- x) * p2 n <= 1.
Proof.
  intros Hx Hn. apply Rle_trans with (exp (- (694 / 1000)) ^ Z.to_nat n * p2 n).
  - apply Rmult_le_compat_r; [apply Rlt_le, p2_pos, Hn|]. rewrite pow_exp.
    assert (Ei : INR (Z.to_nat n) = IZR n) by (rewrite INR_IZR_INZ, Z2Nat.id; auto). rewrite Ei.
    assert (- x <= IZR n * - (694 / 1000)) by lra.
    destruct (Req_dec (- x) (IZR n * - (694 / 1000))) as [E|E]; [rewrite E; lra|].
    apply Rlt_le, exp_increasing. lra.
  - assert (Hp : p2 n = 2 ^ Z.to_nat n) by (unfold p2; rewrite <- (Z2Nat.id n) at 1 by exact Hn; rewrite pow_IZR; reflexivity).
    rewrite Hp, <- Rpow_mult_distr. rewrite <- (pow1 (Z.to_nat n)). apply pow_incr. split.
    + apply Rmult_le_pos; [apply Rlt_le, exp_pos | lra].
    + pose proof exp_0694. lra.
Qed.

(** ** The Taylor sum *)
Lemma taylor_sound xs r W k : (1 <= W)%Z -> (1 <= k)%Z -> 0 <= xs -> xs * p2 k <= 1 -> (0 <= r)%Z -> IZR r <= xs * p2 W < IZR r + 1 ->
  Rabs (IZR (taylor r W k) - exp (- xs) * p2 W) <= 4.
Proof.
  intros HW1 Hk Hxs0 Hxs Hr0z Hr. assert (HW : (0 <= W)%Z) by lia.
  pose proof (p2_pos W HW) as HU. pose proof (p2_pos k ltac:(lia)) as HkU.
  assert (Hr0 : 0 <= IZR r) by (apply (IZR_le 0); exact Hr0z).
  assert (Hk2 : 2 <= p2 k). { unfold p2. change 2 with (IZR (2 ^ 1)). apply IZR_le, Z.pow_le_mono_r; lia. }
  assert (Hxs2 : xs <= / 2).
  { apply Rmult_le_reg_r with 2; [lra|]. assert (xs * 2 <= xs * p2 k) by (apply Rmult_le_compat_l; lra). lra. }
  assert (HrW : IZR r <= p2 W / 2).
  { assert (xs * p2 W <= / 2 * p2 W) by (apply Rmult_le_compat_r; lra). lra. }
  set (rho := IZR r / p2 W).
  assert (Hrho : 0 <= rho <= xs /\ (xs - rho) * p2 W <= 1).
  { assert (E : rho * p2 W = IZR r) by (unfold rho; field; lra). repeat split.
    - apply Rmult_le_pos; [exact Hr0 | apply Rlt_le, Rinv_0_lt_compat; lra].
    - apply Rmult_le_reg_r with (p2 W); lra.
    - lra. }
  destruct Hrho as [[Hrho0 Hrho1] Hrho2].
  unfold taylor. set (N := Z.to_nat ((W - 1) / k)).
  replace (shl 1 W) with (2 ^ W)%Z by (unfold shl; rewrite Z.shiftl_mul_pow2 by exact HW; ring).
  set (p := horner (2 ^ W) r W N (2 ^ W)).
  assert (H1 : Rabs (IZR p - hornerR rho N 1 * p2 W) <= 2).
  { apply horner_error with (e := 0); [exact HW|split; lra|split; lra|]. change (IZR (2 ^ W)) with (p2 W).
    replace (p2 W - 1 * p2 W) with 0 by ring. rewrite Rabs_R0. lra. }
  assert (H2 : Rabs (exp (- rho) - hornerR rho N 1) * p2 W <= 1).
  { assert (Hh : hornerR rho N 1 = sum_f_R0 (fun i => (- rho) ^ i / INR (fact i)) N).
    { destruct N as [|M]; [cbn; field|]. rewrite hornerR_sum, Rmult_1_r. reflexivity. }
    rewrite Hh. pose proof (exp_taylor rho N ltac:(split; lra)) as HT.
    apply Rle_trans with (rho ^ S N / INR (fact (S N)) * p2 W); [apply Rmult_le_compat_r; lra|].
    assert (Hf : 1 <= INR (fact (S N))) by (apply (le_INR 1), lt_O_fact).
    assert (Hpow : rho ^ S N * p2 W <= 1).
    { apply Rle_trans with (rho ^ S N * p2 k ^ S N).
      - apply Rmult_le_compat_l; [apply pow_le; lra|].
        unfold p2 at 2. rewrite pow_IZR, <- Z.pow_mul_r by lia. unfold p2. apply IZR_le, Z.pow_le_mono_r; [lia|].
        rewrite Nat2Z.inj_succ. unfold N. rewrite Z2Nat.id by (apply Z.div_pos; lia).
        pose proof (Z.div_mod (W - 1) k ltac:(lia)). pose proof (Z.mod_pos_bound (W - 1) k ltac:(lia)). nia.
      - rewrite <- Rpow_mult_distr, <- (pow1 (S N)). apply pow_incr. split; [apply Rmult_le_pos; lra|].
        assert (rho * p2 k <= xs * p2 k) by (apply Rmult_le_compat_r; lra). lra. }
    assert (0 <= rho ^ S N * p2 W) by (apply Rmult_le_pos; [apply pow_le|]; lra).
    assert (Hi : 0 < / INR (fact (S N)) <= 1).
    { split; [apply Rinv_0_lt_compat; lra|]. rewrite <- Rinv_1. apply Rinv_le_contravar; lra. }
    unfold Rdiv. rewrite Rmult_assoc, (Rmult_comm (/ _)), <- Rmult_assoc.
    assert (rho ^ S N * p2 W * / INR (fact (S N)) <= rho ^ S N * p2 W * 1) by (apply Rmult_le_compat_l; lra). lra. }
  assert (H3 : 0 <= (exp (- rho) - exp (- xs)) * p2 W <= 1).
  { assert (E : exp (- xs) = exp (- rho) * exp (- (xs - rho))) by (rewrite <- exp_plus; f_equal; ring).
    assert (E1 : 1 - (xs - rho) <= exp (- (xs - rho))).
    { destruct (Req_dec (xs - rho) 0) as [Z0|Z0]; [rewrite Z0, Ropp_0, exp_0; lra|].
      apply Rlt_le. pose proof (exp_ineq1 (- (xs - rho)) ltac:(lra)). lra. }
    assert (E2 : exp (- (xs - rho)) <= 1).
    { rewrite <- exp_0. destruct (Req_dec (xs - rho) 0) as [Z0|Z0]; [rewrite Z0, Ropp_0; lra|]. apply Rlt_le, exp_increasing. lra. }
    assert (E3 : 0 < exp (- rho) <= 1).
    { split; [apply exp_pos|]. rewrite <- exp_0. destruct (Req_dec rho 0) as [Z0|Z0]; [rewrite Z0, Ropp_0; lra|]. apply Rlt_le, exp_increasing. lra. }
    assert (E4 : 0 <= exp (- rho) - exp (- xs) <= xs - rho).
    { rewrite E. split.
      - assert (exp (- rho) * exp (- (xs - rho)) <= exp (- rho) * 1) by (apply Rmult_le_compat_l; lra). lra.
      - assert (exp (- rho) * (1 - exp (- (xs - rho))) <= 1 * (xs - rho)) by (apply Rmult_le_compat; lra). lra. }
    split; [apply Rmult_le_pos; lra|].
    assert ((exp (- rho) - exp (- xs)) * p2 W <= (xs - rho) * p2 W) by (apply Rmult_le_compat_r; lra). lra. }
  assert (H4 : Rabs ((exp (- rho) - hornerR rho N 1) * p2 W) <= 1) by (rewrite Rabs_mult, (Rabs_right (p2 W)); lra).
  revert H1 H4. unfold Rabs. repeat destruct (Rcase_abs _); lra.
Qed.

(** ** Tables *)
Lemma shr_nonneg z n : (0 <= z)%Z -> (0 <= n)%Z -> (0 <= shr z n)%Z.
Proof. intros. unfold shr. rewrite Z.shiftr_div_pow2 by lia. apply Z.div_pos; [lia|]. apply Z.pow_pos_nonneg; lia. Qed.

(** [e] encloses [v], and its lower end is not negative. *)
Definition encl_pos (W : Z) (e : Z * Z) (v : R) : Prop := (0 <= fst e)%Z /\ 0 <= v /\ encl W (fst e) (snd e) v.

Lemma encl_pos_times W lo hi low high v f : (0 <= W)%Z -> encl_pos W (lo, hi) v -> encl_pos W (low, high) f ->
  encl_pos W (shr (lo * low) W, shift_up (hi * high) W) (v * f).
Proof.
  intros HW [Z1 [V1 [A1 B1]]] [Z2 [V2 [A2 B2]]]. cbn [fst snd] in *. pose proof (p2_pos W HW) as HU.
  split; [apply shr_nonneg; [cbn [fst]; nia|exact HW]|]. split; [apply Rmult_le_pos; assumption|]. unfold encl. cbn [fst snd].
  apply IZR_le in Z1, Z2.
  destruct (shr_spec (lo * low) W HW) as [L _]. pose proof (shift_up_spec (hi * high) W HW) as H.
  rewrite mult_IZR in L, H. set (U := p2 W) in *.
  assert (0 <= v * U) by (apply Rmult_le_pos; lra). assert (0 <= f * U) by (apply Rmult_le_pos; lra).
  assert (IZR lo * IZR low <= v * U * (f * U)) by (apply Rmult_le_compat; lra).
  assert (v * U * (f * U) <= IZR hi * IZR high) by (apply Rmult_le_compat; lra).
  split; apply Rmult_le_reg_r with U; lra.
Qed.

Lemma powers_sound W low high f : (0 <= W)%Z -> encl_pos W (low, high) f -> forall n lo hi v d, encl_pos W (lo, hi) v -> (d <= n)%nat ->
  encl_pos W (at_digit (powers W low high n lo hi) d) (v * f ^ d).
Proof.
  intros HW F. induction n; intros lo hi v d V Hd.
  - replace d with 0%nat by lia. cbn. rewrite Rmult_1_r. exact V.
  - destruct d as [|d]; [cbn; rewrite Rmult_1_r; exact V|].
    change (at_digit _ (S d)) with (at_digit (powers W low high n (shr (lo * low) W) (shift_up (hi * high) W)) d).
    replace (v * f ^ S d) with (v * f * f ^ d) by (cbn [pow]; ring). apply IHn; [|lia]. apply encl_pos_times; assumption.
Qed.

Lemma encl_pos_one W : (0 <= W)%Z -> encl_pos W (shl 1 W, shl 1 W) 1.
Proof.
  intros HW. split; [|split; [lra|]].
  - cbn [fst]. unfold shl. rewrite Z.shiftl_mul_pow2 by exact HW. assert (0 <= 2 ^ W)%Z by (apply Z.pow_nonneg; lia). lia.
  - unfold encl. cbn [fst snd]. rewrite shl_spec by exact HW. lra.
Qed.

Lemma powers_of_sound W e f n d : (0 <= W)%Z -> encl_pos W e f -> (d <= n)%nat -> encl_pos W (at_digit (powers_of W e n) d) (f ^ d).
Proof.
  intros HW F Hd. destruct e as [low high]. rewrite <- (Rmult_1_l (f ^ d)).
  apply powers_sound; [exact HW|exact F|apply encl_pos_one, HW|exact Hd].
Qed.

Lemma powers_length W low high n : forall lo hi, length (powers W low high n lo hi) = S n.
Proof. induction n; intros; cbn [powers length]; [reflexivity|]. rewrite IHn. reflexivity. Qed.

Lemma widest_ge l d : (d < length l)%nat -> (end_gap (at_digit l d) <= widest l)%Z.
Proof.
  revert d. induction l as [|e l IH]; intros d Hd; [cbn in Hd; lia|]. destruct d as [|d].
  - cbn [at_digit nth widest fold_right]. lia.
  - cbn [length] in Hd. specialize (IH d ltac:(lia)). unfold at_digit in *. cbn [nth widest fold_right]. unfold widest in IH. lia.
Qed.

(** An integer [e] at most [w] units below a number between zero and one. *)
Definition from_below (W e : Z) (w v : R) : Prop := (0 <= e)%Z /\ 0 <= v <= 1 /\ IZR e <= v * p2 W <= IZR e + w.

Lemma lower_ends_sound W l n d v w : (0 <= W)%Z -> length l = S n -> (d <= n)%nat -> v <= 1 -> (widest l <= w)%Z ->
  encl_pos (W + table_bits) (at_digit l d) v -> from_below W (lower_ends n l d) (IZR w) v.
Proof.
  intros HW Hl Hd Hv Hw [Z0 [V0 [A B]]]. unfold lower_ends. rewrite memo_eq by lia.
  pose proof (widest_ge l d ltac:(lia)) as G. unfold end_gap, lower_end in *. set (e := at_digit l d) in *.
  split; [apply shr_nonneg; [exact Z0|unfold table_bits; lia]|]. split; [lra|].
  destruct (shr_spec (fst e) table_bits ltac:(unfold table_bits; lia)) as [L _].
  pose proof (shift_up_spec (snd e) table_bits ltac:(unfold table_bits; lia)) as H.
  pose proof (p2_pos table_bits ltac:(unfold table_bits; lia)) as HT.
  rewrite p2_plus in A, B by (unfold table_bits; lia).
  assert (K : (shift_up (snd e) table_bits <= shr (fst e) table_bits + w)%Z) by lia. apply IZR_le in K. rewrite plus_IZR in K.
  set (T := p2 table_bits) in *. split.
  - apply Rmult_le_reg_r with T; lra.
  - apply Rle_trans with (IZR (shift_up (snd e) table_bits)); [|exact K]. apply Rmult_le_reg_r with T; lra.
Qed.

Lemma from_below_times W p e a b v f : (0 <= W)%Z -> from_below W p a v -> from_below W e b f -> 0 <= a -> 0 <= b ->
  from_below W (shr (p * e) W) (a + b + 1) (v * f).
Proof.
  intros HW [Z1 [V1 [A1 B1]]] [Z2 [V2 [A2 B2]]] Ha Hb. pose proof (p2_pos W HW) as HU.
  destruct (shr_spec (p * e) W HW) as [L H]. rewrite mult_IZR in L, H.
  split; [apply shr_nonneg; [nia|exact HW]|]. apply IZR_le in Z1, Z2. set (U := p2 W) in *.
  split.
  - split; [apply Rmult_le_pos; lra|]. replace 1 with (1 * 1) by ring. apply Rmult_le_compat; lra.
  - assert (0 <= v * U) by (apply Rmult_le_pos; lra). assert (0 <= f * U) by (apply Rmult_le_pos; lra).
    assert (v * U <= 1 * U) by (apply Rmult_le_compat_r; lra). assert (f * U <= 1 * U) by (apply Rmult_le_compat_r; lra).
    assert (IZR p * IZR e <= v * U * (f * U)) by (apply Rmult_le_compat; lra).
    assert (v * U * (f * U - IZR e) <= U * b) by (apply Rmult_le_compat; lra).
    assert (IZR e * (v * U - IZR p) <= U * a) by (apply Rmult_le_compat; lra).
    split; apply Rmult_le_reg_r with U; lra.
Qed.

Lemma exp_neg x : 0 <= x -> 0 < exp (- x) <= 1.
Proof.
  intros H. split; [apply exp_pos|]. rewrite <- exp_0. destruct (Req_dec x 0) as [E|E]; [rewrite E, Ropp_0; lra|].
  apply Rlt_le, exp_increasing. lra.
Qed.

(** exp(-d * 2^-s), from its first power *)
Definition exp_power (s : Z) (d : nat) : R := exp (- (INR d / p2 s)).
Lemma exp_power_pow s d : (0 <= s)%Z -> exp_power s d = exp (- / p2 s) ^ d.
Proof. intros Hs. unfold exp_power. rewrite pow_exp. f_equal. pose proof (p2_pos s Hs). field. lra. Qed.
Lemma exp_power_512 s : (9 <= s)%Z -> exp (- / p2 s) ^ 512 = exp (- / p2 (s - 9)).
Proof.
  intros Hs. rewrite pow_exp. f_equal. rewrite INR_IZR_INZ. change (Z.of_nat 512) with (2 ^ 9)%Z. change (IZR (2 ^ 9)) with (p2 9).
  replace (p2 s) with (p2 (s - 9) * p2 9) by (rewrite <- p2_plus by lia; f_equal; lia).
  pose proof (p2_pos (s - 9) ltac:(lia)). pose proof (p2_pos 9 ltac:(lia)). field. lra.
Qed.
Lemma exp_power_le_1 s d : (0 <= s)%Z -> exp_power s d <= 1.
Proof.
  intros Hs. unfold exp_power. apply exp_neg. apply Rmult_le_pos; [apply pos_INR|]. apply Rlt_le, Rinv_0_lt_compat, p2_pos, Hs.
Qed.

Lemma tables_sound P : (16 <= P)%Z -> let T := exp_tables P in let W := (P + guard_bits)%Z in
  x_last T = Z.to_nat (694 * P / 1000) /\
  exists w, 0 <= w /\ IZR (x_error T) = 4 * w + 12 /\
  (forall d, (d <= 512)%nat -> from_below W (x_third T d) w (exp_power 27 d)) /\
  (forall d, (d <= 512)%nat -> from_below W (x_second T d) w (exp_power 18 d)) /\
  (forall d, (d <= 512)%nat -> from_below W (x_first T d) w (exp_power 9 d)) /\
  (forall d, (d <= x_last T)%nat -> from_below W (x_whole T d) w (exp_power 0 d)).
Proof.
  intros HP T W. unfold T, exp_tables. cbv zeta. cbn [x_third x_second x_first x_whole x_last x_error].
  fold W. set (F := (W + table_bits)%Z). assert (HW : (0 <= W)%Z) by (unfold W, guard_bits; lia).
  assert (HF : (64 <= F)%Z) by (unfold F, W, guard_bits, table_bits; lia).
  set (p := taylor (shl 1 (F - 27)) F 27).
  pose proof (p2_pos F ltac:(lia)) as HFU. pose proof (p2_pos 27 ltac:(lia)) as H27.
  assert (E27 : / p2 27 * p2 F = IZR (shl 1 (F - 27))).
  { rewrite shl_spec by lia. replace (p2 F) with (p2 (F - 27) * p2 27) by (rewrite <- p2_plus by lia; f_equal; lia). field. lra. }
  assert (Hx : 0 < exp (- / p2 27) <= 1) by (apply exp_neg, Rlt_le, Rinv_0_lt_compat; lra).
  assert (G0 : encl_pos F (Z.max 0 (p - 4), (p + 4)%Z) (exp (- / p2 27))).
  { assert (B : Rabs (IZR p - exp (- / p2 27) * p2 F) <= 4).
    { apply taylor_sound; try lia.
      - apply Rlt_le, Rinv_0_lt_compat. lra.
      - rewrite Rinv_l by lra. lra.
      - unfold shl. rewrite Z.shiftl_mul_pow2 by lia. assert (0 <= 2 ^ (F - 27))%Z by (apply Z.pow_nonneg; lia). lia.
      - rewrite E27. lra. }
    split; [cbn [fst]; lia|]. split; [lra|]. unfold encl. cbn [fst snd]. rewrite plus_IZR.
    assert (C : IZR p - 4 <= exp (- / p2 27) * p2 F <= IZR p + 4) by (revert B; unfold Rabs; destruct (Rcase_abs _); lra).
    split; [|lra]. destruct (Z.max_spec 0 (p - 4)) as [[_ ->]|[_ ->]]; [rewrite minus_IZR; lra|]. apply Rmult_le_pos; lra. }
  set (third := powers_of F (Z.max 0 (p - 4), (p + 4)%Z) 512).
  assert (G3 : forall d, (d <= 512)%nat -> encl_pos F (at_digit third d) (exp_power 27 d)).
  { intros d Hd. rewrite exp_power_pow by lia. apply powers_of_sound; [lia|exact G0|exact Hd]. }
  set (second := powers_of F (at_digit third 512) 512).
  assert (G2 : forall d, (d <= 512)%nat -> encl_pos F (at_digit second d) (exp_power 18 d)).
  { intros d Hd. rewrite exp_power_pow by lia. apply powers_of_sound; [lia| |exact Hd].
    pose proof (G3 512%nat (le_n _)) as G. rewrite exp_power_pow, exp_power_512 in G by lia. exact G. }
  set (first := powers_of F (at_digit second 512) 512).
  assert (G1 : forall d, (d <= 512)%nat -> encl_pos F (at_digit first d) (exp_power 9 d)).
  { intros d Hd. rewrite exp_power_pow by lia. apply powers_of_sound; [lia| |exact Hd].
    pose proof (G2 512%nat (le_n _)) as G. rewrite exp_power_pow, exp_power_512 in G by lia. exact G. }
  set (last := Z.to_nat (694 * P / 1000)).
  set (whole := powers_of F (at_digit first 512) last).
  assert (GW : forall d, (d <= last)%nat -> encl_pos F (at_digit whole d) (exp_power 0 d)).
  { intros d Hd. rewrite exp_power_pow by lia. apply powers_of_sound; [lia| |exact Hd].
    pose proof (G1 512%nat (le_n _)) as G. rewrite exp_power_pow, exp_power_512 in G by lia. exact G. }
  set (w := Z.max (Z.max (widest third) (widest second)) (Z.max (widest first) (widest whole))).
  assert (N : forall l, (0 <= widest l)%Z) by (induction l as [|e l IH]; cbn [widest fold_right]; [lia|unfold widest in IH; lia]).
  split; [reflexivity|]. exists (IZR w). split; [apply (IZR_le 0); pose proof (N third); unfold w; lia|].
  split; [rewrite !plus_IZR, mult_IZR; lra|].
  assert (L : forall e n, length (powers_of F e n) = S n) by (intros; apply powers_length).
  split; [|split; [|split]]; intros d Hd; (apply lower_ends_sound; [exact HW|apply L|exact Hd|apply exp_power_le_1; lia|unfold w; lia|auto]).
Qed.

(** ** Digits *)
Lemma land_511 z : Z.land z 511 = (z mod 512)%Z.
Proof. change 511%Z with (Z.ones 9). rewrite Z.land_ones by lia. reflexivity. Qed.
Lemma shr_div z n : (0 <= n)%Z -> shr z n = (z / 2 ^ n)%Z.
Proof. intros. unfold shr. apply Z.shiftr_div_pow2. assumption. Qed.

Lemma digits_sum z : (0 <= z)%Z ->
  z = (shr z 27 * 2 ^ 27 + Z.land (shr z 18) 511 * 2 ^ 18 + Z.land (shr z 9) 511 * 2 ^ 9 + Z.land z 511)%Z.
Proof.
  intros Hz. rewrite !land_511, !shr_div by lia.
  replace (z / 2 ^ 27)%Z with (z / 512 / 512 / 512)%Z by (rewrite !Z.div_div by lia; reflexivity).
  replace (z / 2 ^ 18)%Z with (z / 512 / 512)%Z by (rewrite !Z.div_div by lia; reflexivity).
  change (2 ^ 9)%Z with 512%Z. change (2 ^ 18)%Z with (512 * 512)%Z. change (2 ^ 27)%Z with (512 * (512 * 512))%Z.
  pose proof (Z.div_mod z 512 ltac:(lia)). pose proof (Z.div_mod (z / 512) 512 ltac:(lia)).
  pose proof (Z.div_mod (z / 512 / 512) 512 ltac:(lia)). lia.
Qed.

Lemma digit_small z : (Z.to_nat (Z.land z 511) <= 512)%nat.
Proof. rewrite land_511. pose proof (Z.mod_pos_bound z 512 ltac:(lia)). lia. Qed.
Lemma digit_value z : INR (Z.to_nat (Z.land z 511)) = IZR (Z.land z 511).
Proof. rewrite INR_IZR_INZ, Z2Nat.id; [reflexivity|]. rewrite land_511. apply Z.mod_pos_bound. lia. Qed.

Lemma exp_product_sound y scale P : (0 <= y)%Z -> (0 <= scale)%Z -> (16 <= P)%Z -> let T := exp_tables P in
  match exp_product y scale P T with
  | None => 694 / 1000 * IZR P <= IZR y / p2 scale
  | Some p => (0 <= p)%Z /\ IZR p <= exp (- (IZR y / p2 scale)) * p2 (P + guard_bits) <= IZR p + IZR (x_error T)
  end.
Proof.
  intros Hy Hs HP T. destruct (tables_sound P HP) as [Hlast [w [Hw [He [G3 [G2 [G1 GW]]]]]]]. fold T in Hlast, He, G3, G2, G1, GW.
  unfold exp_product. cbv zeta. set (W := (P + guard_bits)%Z) in *. assert (HW : (28 <= W)%Z) by (unfold W, guard_bits; lia).
  pose proof (p2_pos scale Hs) as HsU. pose proof (p2_pos W ltac:(lia)) as HU.
  set (r := if (scale <=? W)%Z then shl y (W - scale) else shr y (scale - W)). set (Y := IZR y / p2 scale).
  assert (Hr0 : (0 <= r)%Z).
  { unfold r. destruct (Z.leb_spec scale W).
    - unfold shl. rewrite Z.shiftl_mul_pow2 by lia. assert (0 <= 2 ^ (W - scale))%Z by (apply Z.pow_nonneg; lia). nia.
    - apply shr_nonneg; lia. }
  assert (Hr : IZR r <= Y * p2 W < IZR r + 1).
  { unfold r. destruct (Z.leb_spec scale W) as [H|H].
    - rewrite shl_spec by lia. replace (p2 W) with (p2 (W - scale) * p2 scale) by (rewrite <- p2_plus by lia; f_equal; lia).
      replace (Y * (p2 (W - scale) * p2 scale)) with (IZR y * p2 (W - scale)) by (unfold Y; field; lra). lra.
    - destruct (shr_spec y (scale - W) ltac:(lia)) as [A B]. pose proof (p2_pos (scale - W) ltac:(lia)) as HD.
      assert (F : Y * p2 W * p2 (scale - W) = IZR y).
      { rewrite Rmult_assoc, <- p2_plus by lia. replace (W + (scale - W))%Z with scale by lia. unfold Y. field. lra. }
      split; [apply Rmult_le_reg_r with (p2 (scale - W)) | apply Rmult_lt_reg_r with (p2 (scale - W))]; lra. }
  set (digits := shr r (W - 27)). assert (Hd0 : (0 <= digits)%Z) by (apply shr_nonneg; lia).
  pose proof (digits_sum digits Hd0) as Sum. set (n := shr digits 27) in *. assert (Hn : (0 <= n)%Z) by (apply shr_nonneg; lia).
  pose proof (digit_small (shr digits 18)) as S1. pose proof (digit_value (shr digits 18)) as V1.
  pose proof (digit_small (shr digits 9)) as S2. pose proof (digit_value (shr digits 9)) as V2.
  pose proof (digit_small digits) as S3. pose proof (digit_value digits) as V3.
  set (d1 := Z.land (shr digits 18) 511) in *. set (d2 := Z.land (shr digits 9) 511) in *. set (d3 := Z.land digits 511) in *.
  assert (V0 : INR (Z.to_nat n) = IZR n) by (rewrite INR_IZR_INZ, Z2Nat.id; [reflexivity|exact Hn]).
  pose proof (p2_pos (W - 27) ltac:(lia)) as HD. pose proof (p2_pos 27 ltac:(lia)) as H27.
  assert (EW : p2 W = p2 27 * p2 (W - 27)) by (rewrite <- p2_plus by lia; f_equal; lia).
  destruct (shr_spec r (W - 27) ltac:(lia)) as [D0 D1]. fold digits in D0, D1.
  set (x := Y - IZR digits / p2 27).
  set (rest := (r - shl digits (W - 27))%Z).
  assert (Erest : IZR rest = IZR r - IZR digits * p2 (W - 27)) by (unfold rest; rewrite minus_IZR, shl_spec by lia; reflexivity).
  assert (ExU : x * p2 W = Y * p2 W - IZR digits * p2 (W - 27)) by (unfold x; rewrite EW; field; lra).
  assert (Hrest0 : (0 <= rest)%Z) by (apply le_IZR; lra).
  assert (Hrest1 : IZR rest + 1 <= p2 (W - 27)).
  { unfold p2. rewrite <- plus_IZR. apply IZR_le.
    assert (IZR rest < IZR (2 ^ (W - 27))) as K by (change (IZR (2 ^ (W - 27))) with (p2 (W - 27)); lra). apply lt_IZR in K. lia. }
  assert (Hx0 : 0 <= x) by (apply Rmult_le_reg_r with (p2 W); [lra|]; apply (IZR_le 0) in Hrest0; lra).
  assert (Hx1 : x * p2 27 < 1).
  { apply Rmult_lt_reg_r with (p2 (W - 27)); [lra|]. rewrite Rmult_assoc, <- EW. lra. }
  assert (HY : Y = IZR n + IZR d1 / p2 9 + IZR d2 / p2 18 + IZR d3 / p2 27 + x).
  { unfold x. rewrite Sum at 1. rewrite !plus_IZR, !mult_IZR.
    change (IZR (2 ^ 27)) with (p2 27). change (IZR (2 ^ 18)) with (p2 18). change (IZR (2 ^ 9)) with (p2 9).
    replace (p2 27) with (p2 18 * p2 9) by (rewrite <- p2_plus by lia; reflexivity).
    replace (p2 18) with (p2 9 * p2 9) by (rewrite <- p2_plus by lia; reflexivity).
    pose proof (p2_pos 9 ltac:(lia)). field. lra. }
  destruct (Z.ltb_spec (Z.of_nat (x_last T)) n) as [Far|Near].
  - rewrite Hlast in Far. assert (Q : (694 * P < 1000 * n)%Z).
    { pose proof (Z.div_mod (694 * P) 1000 ltac:(lia)). pose proof (Z.mod_pos_bound (694 * P) 1000 ltac:(lia)). lia. }
    apply IZR_lt in Q. rewrite !mult_IZR in Q.
    assert (P9 : forall s d, (0 <= s)%Z -> (0 <= IZR d) -> 0 <= IZR d / p2 s).
    { intros s d Hs' Hd'. apply Rmult_le_pos; [exact Hd'|]. apply Rlt_le, Rinv_0_lt_compat, p2_pos, Hs'. }
    pose proof (P9 9%Z d1 ltac:(lia) ltac:(rewrite <- V1; apply pos_INR)).
    pose proof (P9 18%Z d2 ltac:(lia) ltac:(rewrite <- V2; apply pos_INR)).
    pose proof (P9 27%Z d3 ltac:(lia) ltac:(rewrite <- V3; apply pos_INR)). lra.
  - pose proof (GW (Z.to_nat n) ltac:(lia)) as B0. pose proof (G1 (Z.to_nat d1) S1) as B1.
    pose proof (G2 (Z.to_nat d2) S2) as B2. pose proof (G3 (Z.to_nat d3) S3) as B3.
    pose proof (exp_neg x Hx0) as HX.
    assert (B4 : from_below W (Z.max 0 (taylor rest W 27 - 4)) 8 (exp (- x))).
    { pose proof (taylor_sound x rest W 27 ltac:(lia) ltac:(lia) Hx0 (Rlt_le _ _ Hx1) Hrest0 ltac:(lra)) as B.
      set (p := taylor rest W 27) in *.
      assert (C : IZR p - 4 <= exp (- x) * p2 W <= IZR p + 4) by (revert B; unfold Rabs; destruct (Rcase_abs _); lra).
      assert (0 <= exp (- x) * p2 W) by (apply Rmult_le_pos; lra).
      split; [lia|]. split; [lra|].
      destruct (Z.max_spec 0 (p - 4)) as [[_ ->]|[L ->]]; [rewrite minus_IZR; lra|]. apply IZR_le in L. rewrite minus_IZR in L. lra. }
    pose proof (from_below_times W _ _ _ _ _ _ ltac:(lia) B0 B1 Hw Hw) as C1.
    pose proof (from_below_times W _ _ _ _ _ _ ltac:(lia) C1 B2 ltac:(lra) Hw) as C2.
    pose proof (from_below_times W _ _ _ _ _ _ ltac:(lia) C2 B3 ltac:(lra) Hw) as C3.
    pose proof (from_below_times W _ _ _ _ _ _ ltac:(lia) C3 B4 ltac:(lra) ltac:(lra)) as [C0 [_ C4]].
    assert (EX : exp_power 0 (Z.to_nat n) * exp_power 9 (Z.to_nat d1) * exp_power 18 (Z.to_nat d2) * exp_power 27 (Z.to_nat d3) * exp (- x) = exp (- Y)).
    { unfold exp_power. rewrite <- !exp_plus, V0, V1, V2, V3. f_equal. rewrite HY. change (p2 0) with 1. field.
      pose proof (p2_pos 9 ltac:(lia)). pose proof (p2_pos 18 ltac:(lia)). repeat split; lra. }
    rewrite EX in C4. split; [exact C0|]. lra.
Qed.

(** SPEC-6.3 *)
Theorem exp_enclosure_sound y scale P :
  (0 <= y)%Z -> (0 <= scale)%Z -> (16 <= P)%Z ->
  encl P (fst (exp_enclosure y scale P)) (snd (exp_enclosure y scale P)) (exp (- (IZR y / p2 scale))).
Proof.
  intros Hy Hs HP. unfold exp_enclosure, exp_lower, exp_upper, tables_of, recall. cbn [fst snd]. cbv zeta.
  pose proof (p2_pos scale Hs) as HsU. pose proof (p2_pos P ltac:(lia)) as HPU.
  destruct (Z.eqb_spec y 0) as [->|Hy0].
  { replace (- (0 / p2 scale)) with 0 by (field; lra). rewrite exp_0. unfold encl. rewrite shl_spec by lia. lra. }
  pose proof (exp_product_sound y scale P Hy Hs HP) as B. cbv zeta in B.
  assert (HY : 0 <= IZR y / p2 scale). { apply Rmult_le_pos; [apply (IZR_le 0); exact Hy|]. apply Rlt_le, Rinv_0_lt_compat. lra. }
  pose proof (exp_neg _ HY) as HX. set (v := exp (- (IZR y / p2 scale))) in *.
  destruct (exp_product y scale P (exp_tables P)) as [p|].
  - destruct B as [B0 [B1 B2]]. pose proof (p2_pos guard_bits ltac:(unfold guard_bits; lia)) as HG.
    rewrite p2_plus in B1, B2 by (unfold guard_bits; lia). set (e := x_error (exp_tables P)) in *.
    destruct (shr_spec p guard_bits ltac:(unfold guard_bits; lia)) as [L _].
    pose proof (shift_up_spec (p + e) guard_bits ltac:(unfold guard_bits; lia)) as H. rewrite plus_IZR in H.
    split; [apply Rmult_le_reg_r with (p2 guard_bits); lra|].
    destruct (Z.min_spec (shift_up (p + e) guard_bits) (shl 1 P)) as [[_ ->]|[_ ->]].
    + apply Rmult_le_reg_r with (p2 guard_bits); lra.
    + rewrite shl_spec by lia. assert (v * p2 P <= 1 * p2 P) by (apply Rmult_le_compat_r; lra). lra.
  - split; [apply Rmult_le_pos; lra|]. apply exp_small; [exact B|lia].
Qed.

Lemma exp_enclosure_ends y scale P : exp_enclosure y scale P = (exp_lower y scale P, exp_upper y scale P).
Proof. reflexivity. Qed.

Lemma exp_lower_nonneg y scale P : (0 <= y)%Z -> (0 <= scale)%Z -> (16 <= P)%Z -> (0 <= exp_lower y scale P)%Z.
Proof.
  intros Hy Hs HP. unfold exp_lower, tables_of, recall. destruct (y =? 0)%Z.
  - unfold shl. rewrite Z.shiftl_mul_pow2 by lia. assert (0 <= 2 ^ P)%Z by (apply Z.pow_nonneg; lia). lia.
  - pose proof (exp_product_sound y scale P Hy Hs HP) as B. cbv zeta in B.
    destruct (exp_product y scale P (exp_tables P)) as [p|]; [|lia]. apply shr_nonneg; [apply B|unfold guard_bits; lia].
Qed.
