(** SPEC-6.3: the enclosure of exp(-y * 2^-scale) by halving, Taylor and squaring, as an executable function over Z. *)
Require Import Reals Lra Lia ZArith Psatz.
Open Scope R_scope.

(** ** The program *)
Definition shr (z n : Z) : Z := Z.shiftr z n.
Definition shl (z n : Z) : Z := Z.shiftl z n.
Definition shift_up (z n : Z) : Z := (- shr (- z) n)%Z.

Fixpoint horner (unit r W : Z) (j : nat) (p : Z) : Z :=
  match j with
  | O => p
  | S k => horner unit r W k (unit - shr (r * p) W / Z.of_nat j)%Z
  end.

Fixpoint squares (W : Z) (s : nat) (lo hi : Z) : Z * Z :=
  match s with
  | O => (lo, hi)
  | S k => squares W k (shr (lo * lo) W) (shift_up (hi * hi) W)
  end.

Definition exp_enclosure (y scale P : Z) : Z * Z :=
  (if y =? 0 then (shl 1 P, shl 1 P)
   else if shl (694 * P) scale <=? 1000 * y then (0, 1)
   else
    let k := Z.sqrt P + 1 in
    let s := Z.max 0 (Z.log2 y + 1 - scale + k) in
    let W := P + s + 8 in
    let unit := shl 1 W in
    let r := if scale + s <=? W then shl y (W - scale - s) else shr y (scale + s - W) in
    let p := horner unit r W (Z.to_nat (W / k + 1)) unit in
    let '(lo, hi) := squares W (Z.to_nat s) (Z.max 0 (p - 4)) (Z.min (p + 4) unit) in
    (shr lo (W - P), shift_up hi (W - P)))%Z.

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

(** ** Squaring *)
Lemma squares_sound W s lo hi v :
  (0 <= W)%Z -> (0 <= lo)%Z -> 0 <= v -> encl W lo hi v ->
  encl W (fst (squares W s lo hi)) (snd (squares W s lo hi)) (v ^ (2 ^ s)).
Proof.
  intros HW. pose proof (p2_pos W HW) as HU. revert lo hi v. induction s; intros lo hi v Hlo Hv [A B].
  - simpl. rewrite Rmult_1_r. split; assumption.
  - cbn [squares]. replace (v ^ 2 ^ S s) with ((v * v) ^ 2 ^ s).
    2:{ rewrite Rpow_mult_distr, <- pow_add. f_equal. simpl. lia. }
    assert (Hlo' : 0 <= IZR lo) by (apply (IZR_le 0); exact Hlo).
    assert (Hvv : 0 <= v * v) by (apply Rmult_le_pos; lra).
    apply IHs; [| exact Hvv |].
    + unfold shr. rewrite Z.shiftr_div_pow2 by exact HW. apply Z.div_pos; [nia|]. apply Z.pow_pos_nonneg; lia.
    + destruct (shr_spec (lo * lo) W HW) as [L _]. pose proof (shift_up_spec (hi * hi) W HW) as H.
      rewrite mult_IZR in L, H. unfold encl. set (a := IZR (shr (lo * lo) W)) in *. set (b := IZR (shift_up (hi * hi) W)) in *.
      set (U := p2 W) in *. assert (0 <= v * U) by (apply Rmult_le_pos; lra).
      assert (IZR lo * IZR lo <= v * U * (v * U)) by (apply Rmult_le_compat; lra).
      assert (v * U * (v * U) <= IZR hi * IZR hi) by (apply Rmult_le_compat; lra).
      split; apply Rmult_le_reg_r with U; lra.
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

(** ** SPEC-6.3 *)
Theorem exp_enclosure_sound y scale P :
  (0 <= y)%Z -> (0 <= scale)%Z -> (1 <= P)%Z ->
  encl P (fst (exp_enclosure y scale P)) (snd (exp_enclosure y scale P)) (exp (- (IZR y / p2 scale))).
Proof.
  intros Hy Hs HP. unfold exp_enclosure. pose proof (p2_pos scale Hs) as Hsc. pose proof (p2_pos P ltac:(lia)) as HPU.
  destruct (Z.eqb_spec y 0) as [->|Hy0].
  { replace (- (0 / p2 scale)) with 0 by (field; lra). rewrite exp_0. unfold encl. simpl fst; simpl snd.
    rewrite shl_spec by lia. lra. }
  destruct (Z.leb_spec (shl (694 * P) scale) (1000 * y)) as [Hbig|Hsmall].
  { unfold encl; simpl fst; simpl snd. split.
    - apply Rmult_le_pos; [apply Rlt_le, exp_pos | lra].
    - apply exp_small; [|lia]. apply IZR_le in Hbig. rewrite shl_spec, !mult_IZR in Hbig by exact Hs.
      apply Rmult_le_reg_r with (p2 scale); [lra|]. replace (IZR y / p2 scale * p2 scale) with (IZR y) by (field; lra). lra. }
  cbv zeta. set (k := (Z.sqrt P + 1)%Z). set (s := Z.max 0 (Z.log2 y + 1 - scale + k)). set (W := (P + s + 8)%Z).
  assert (Hk : (1 <= k)%Z) by (unfold k; pose proof (Z.sqrt_nonneg P); lia).
  assert (Hs0 : (0 <= s)%Z) by (unfold s; lia).
  assert (HW : (0 <= W)%Z) by (unfold W; lia).
  set (r := if (scale + s <=? W)%Z then shl y (W - scale - s) else shr y (scale + s - W)).
  pose proof (p2_pos W HW) as HU. pose proof (p2_pos k ltac:(lia)) as HkU.
  (* the halved argument *)
  set (xs := IZR y / p2 scale / p2 s).
  pose proof (p2_pos s Hs0) as HsU.
  assert (Hyp : (1 <= y)%Z) by lia. assert (HyR : 1 <= IZR y) by (apply (IZR_le 1); exact Hyp).
  assert (Hxs0 : 0 < xs).
  { unfold xs. repeat apply Rdiv_lt_0_compat; lra. }
  assert (Hxs : xs * p2 k < 1).
  { destruct (Z.log2_spec y ltac:(lia)) as [_ L]. apply IZR_lt in L. change (IZR (2 ^ Z.succ (Z.log2 y))) with (p2 (Z.succ (Z.log2 y))) in L.
    assert (G : p2 (Z.succ (Z.log2 y)) * p2 k <= p2 scale * p2 s).
    { rewrite <- !p2_plus by (pose proof (Z.log2_nonneg y); lia). unfold p2. apply IZR_le, Z.pow_le_mono_r; unfold s; lia. }
    assert (IZR y * p2 k < p2 scale * p2 s) by (assert (IZR y * p2 k < p2 (Z.succ (Z.log2 y)) * p2 k) by (apply Rmult_lt_compat_r; lra); lra).
    assert (0 < p2 scale * p2 s) by (apply Rmult_lt_0_compat; lra).
    apply Rmult_lt_reg_r with (p2 scale * p2 s); [lra|].
    replace (xs * p2 k * (p2 scale * p2 s)) with (IZR y * p2 k) by (unfold xs; field; lra). lra. }
  assert (Hk2 : 2 <= p2 k). { unfold p2. change 2 with (IZR (2 ^ 1)). apply IZR_le, Z.pow_le_mono_r; lia. }
  assert (Hxs2 : xs < / 2).
  { apply Rmult_lt_reg_r with 2; [lra|]. assert (xs * 2 <= xs * p2 k) by (apply Rmult_le_compat_l; lra). lra. }
  assert (Hr : IZR r <= xs * p2 W < IZR r + 1).
  { unfold r. destruct (Z.leb_spec (scale + s) W) as [H|H].
    - rewrite shl_spec by lia.
      assert (E : p2 W = p2 (W - scale - s) * p2 scale * p2 s) by (rewrite <- !p2_plus by lia; f_equal; lia).
      rewrite E. replace (xs * (p2 (W - scale - s) * p2 scale * p2 s)) with (IZR y * p2 (W - scale - s)) by (unfold xs; field; lra). lra.
    - destruct (shr_spec y (scale + s - W) ltac:(lia)) as [A B]. pose proof (p2_pos (scale + s - W) ltac:(lia)) as HD.
      assert (E : p2 scale * p2 s = p2 (scale + s - W) * p2 W) by (rewrite <- !p2_plus by lia; f_equal; lia).
      assert (F : xs * p2 W * p2 (scale + s - W) = IZR y).
      { rewrite Rmult_assoc, (Rmult_comm (p2 W)), <- E. unfold xs. field. lra. }
      split; [apply Rmult_le_reg_r with (p2 (scale + s - W)) | apply Rmult_lt_reg_r with (p2 (scale + s - W))]; lra. }
  assert (Hr0 : 0 <= IZR r).
  { apply (IZR_le 0). assert (IZR (-1) < IZR r); [|apply lt_IZR in H; lia].
    assert (0 < xs * p2 W) by (apply Rmult_lt_0_compat; lra). simpl. lra. }
  assert (HrW : IZR r <= p2 W / 2).
  { assert (xs * p2 W <= / 2 * p2 W) by (apply Rmult_le_compat_r; lra). lra. }
  set (rho := IZR r / p2 W).
  assert (Hrho : 0 <= rho <= xs /\ (xs - rho) * p2 W <= 1).
  { assert (E : rho * p2 W = IZR r) by (unfold rho; field; lra). repeat split.
    - apply Rmult_le_pos; [exact Hr0 | apply Rlt_le, Rinv_0_lt_compat; lra].
    - apply Rmult_le_reg_r with (p2 W); lra.
    - lra. }
  destruct Hrho as [[Hrho0 Hrho1] Hrho2].
  (* Taylor *)
  set (N := Z.to_nat (W / k)).
  assert (HN : Z.to_nat (W / k + 1) = S N) by (unfold N; rewrite Z2Nat.inj_add by (try apply Z.div_pos; lia); simpl; lia).
  rewrite HN. replace (shl 1 W) with (2 ^ W)%Z by (unfold shl; rewrite Z.shiftl_mul_pow2 by exact HW; ring).
  set (p := horner (2 ^ W) r W (S N) (2 ^ W)).
  assert (Hp : Rabs (IZR p - exp (- xs) * p2 W) <= 4).
  { assert (H1 : Rabs (IZR p - hornerR rho (S N) 1 * p2 W) <= 2).
    { apply horner_error with (e := 0); [exact HW|split; lra|split; lra|]. change (IZR (2 ^ W)) with (p2 W).
      replace (p2 W - 1 * p2 W) with 0 by ring. rewrite Rabs_R0. lra. }
    assert (H2 : Rabs (exp (- rho) - hornerR rho (S N) 1) * p2 W <= 1).
    { assert (Hh : hornerR rho (S N) 1 = sum_f_R0 (fun i => (- rho) ^ i / INR (fact i)) (S N)).
      { rewrite hornerR_sum, Rmult_1_r. reflexivity. }
      rewrite Hh. pose proof (exp_taylor rho (S N) ltac:(split; lra)) as HT.
      apply Rle_trans with (rho ^ S (S N) / INR (fact (S (S N))) * p2 W); [apply Rmult_le_compat_r; lra|].
      assert (Hf : 1 <= INR (fact (S (S N)))) by (apply (le_INR 1), lt_O_fact).
      assert (Hpow : rho ^ S (S N) * p2 W <= 1).
      { apply Rle_trans with (rho ^ S (S N) * p2 k ^ S (S N)).
        - apply Rmult_le_compat_l; [apply pow_le; lra|].
          unfold p2 at 2. rewrite pow_IZR, <- Z.pow_mul_r by lia. unfold p2. apply IZR_le, Z.pow_le_mono_r; [lia|].
          rewrite !Nat2Z.inj_succ. unfold N. rewrite Z2Nat.id by (apply Z.div_pos; lia).
          pose proof (Z.div_mod W k ltac:(lia)). pose proof (Z.mod_pos_bound W k ltac:(lia)). nia.
        - rewrite <- Rpow_mult_distr, <- (pow1 (S (S N))). apply pow_incr. split; [apply Rmult_le_pos; lra|].
          assert (rho * p2 k <= xs * p2 k) by (apply Rmult_le_compat_r; lra). lra. }
      assert (0 <= rho ^ S (S N) * p2 W) by (apply Rmult_le_pos; [apply pow_le|]; lra).
      assert (Hi : 0 < / INR (fact (S (S N))) <= 1).
      { split; [apply Rinv_0_lt_compat; lra|]. rewrite <- Rinv_1. apply Rinv_le_contravar; lra. }
      unfold Rdiv. rewrite Rmult_assoc, (Rmult_comm (/ _)), <- Rmult_assoc.
      assert (rho ^ S (S N) * p2 W * / INR (fact (S (S N))) <= rho ^ S (S N) * p2 W * 1) by (apply Rmult_le_compat_l; lra). lra. }
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
    assert (H4 : Rabs ((exp (- rho) - hornerR rho (S N) 1) * p2 W) <= 1) by (rewrite Rabs_mult, (Rabs_right (p2 W)); lra).
    revert H1 H4. unfold Rabs. repeat destruct (Rcase_abs _); lra. }
  (* start of the squarings *)
  assert (Hexs : 0 < exp (- xs) <= 1).
  { split; [apply exp_pos|]. rewrite <- exp_0. apply Rlt_le, exp_increasing. lra. }
  assert (E0 : encl W (Z.max 0 (p - 4)) (Z.min (p + 4) (2 ^ W)) (exp (- xs))).
  { assert (B : IZR p - 4 <= exp (- xs) * p2 W <= IZR p + 4) by (revert Hp; unfold Rabs; destruct (Rcase_abs _); lra).
    split.
    - destruct (Z.max_spec 0 (p - 4)) as [[_ ->]|[_ ->]]; [rewrite minus_IZR; lra|]. apply Rmult_le_pos; lra.
    - destruct (Z.min_spec (p + 4) (2 ^ W)) as [[_ ->]|[_ ->]]; [rewrite plus_IZR; lra|]. change (IZR (2 ^ W)) with (p2 W).
      assert (exp (- xs) * p2 W <= 1 * p2 W) by (apply Rmult_le_compat_r; lra). lra. }
  pose proof (squares_sound W (Z.to_nat s) _ _ _ HW (Z.le_max_l 0 (p - 4)) (Rlt_le _ _ (proj1 Hexs)) E0) as Q.
  destruct (squares W (Z.to_nat s) (Z.max 0 (p - 4)) (Z.min (p + 4) (2 ^ W))) as [lo hi]. simpl fst in *; simpl snd in *.
  assert (Ex : exp (- xs) ^ 2 ^ Z.to_nat s = exp (- (IZR y / p2 scale))).
  { rewrite pow_exp. f_equal. rewrite pow_INR. change (INR 2) with 2.
    assert (2 ^ Z.to_nat s = p2 s) as -> by (unfold p2; rewrite <- (Z2Nat.id s) at 2 by exact Hs0; rewrite <- pow_IZR; reflexivity).
    unfold xs. field. lra. }
  rewrite Ex in Q. destruct Q as [QA QB]. set (v := exp (- (IZR y / p2 scale))) in *.
  pose proof (p2_pos (W - P) ltac:(unfold W; lia)) as HD.
  assert (EW : p2 W = p2 P * p2 (W - P)) by (rewrite <- p2_plus by (unfold W; lia); f_equal; lia).
  destruct (shr_spec lo (W - P) ltac:(unfold W; lia)) as [RA _]. pose proof (shift_up_spec hi (W - P) ltac:(unfold W; lia)) as RB.
  rewrite EW in QA, QB.
  split; apply Rmult_le_reg_r with (p2 (W - P)); lra.
Qed.

(** ** One end at a time *)
Fixpoint squares_lower (W : Z) (s : nat) (lo : Z) : Z :=
  match s with O => lo | S k => squares_lower W k (shr (lo * lo) W) end.
Fixpoint squares_upper (W : Z) (s : nat) (hi : Z) : Z :=
  match s with O => hi | S k => squares_upper W k (shift_up (hi * hi) W) end.
Lemma squares_split W s : forall lo hi, squares W s lo hi = (squares_lower W s lo, squares_upper W s hi).
Proof. induction s; intros; simpl; [reflexivity|apply IHs]. Qed.

Definition taylor (y scale P k s W : Z) : Z :=
  let unit := shl 1 W in
  let r := if (scale + s <=? W)%Z then shl y (W - scale - s) else shr y (scale + s - W) in
  horner unit r W (Z.to_nat (W / k + 1)) unit.
Definition exp_lower (y scale P : Z) : Z :=
  (if y =? 0 then shl 1 P
   else if shl (694 * P) scale <=? 1000 * y then 0
   else
    let k := Z.sqrt P + 1 in
    let s := Z.max 0 (Z.log2 y + 1 - scale + k) in
    let W := P + s + 8 in
    shr (squares_lower W (Z.to_nat s) (Z.max 0 (taylor y scale P k s W - 4))) (W - P))%Z.
Definition exp_upper (y scale P : Z) : Z :=
  (if y =? 0 then shl 1 P
   else if shl (694 * P) scale <=? 1000 * y then 1
   else
    let k := Z.sqrt P + 1 in
    let s := Z.max 0 (Z.log2 y + 1 - scale + k) in
    let W := P + s + 8 in
    shift_up (squares_upper W (Z.to_nat s) (Z.min (taylor y scale P k s W + 4) (shl 1 W))) (W - P))%Z.

Lemma exp_enclosure_ends y scale P : exp_enclosure y scale P = (exp_lower y scale P, exp_upper y scale P).
Proof.
  unfold exp_enclosure, exp_lower, exp_upper. destruct (y =? 0)%Z; [reflexivity|]. destruct (_ <=? _)%Z; [reflexivity|].
  cbv zeta. rewrite squares_split. reflexivity.
Qed.

Lemma shr_nonneg z n : (0 <= z)%Z -> (0 <= n)%Z -> (0 <= shr z n)%Z.
Proof. intros. unfold shr. rewrite Z.shiftr_div_pow2 by lia. apply Z.div_pos; [lia|]. apply Z.pow_pos_nonneg; lia. Qed.
Lemma squares_lower_nonneg W s : (0 <= W)%Z -> forall lo, (0 <= lo)%Z -> (0 <= squares_lower W s lo)%Z.
Proof. intros HW. induction s; intros lo H; simpl; [exact H|]. apply IHs, shr_nonneg; nia. Qed.
Lemma exp_lower_nonneg y scale P : (0 <= P)%Z -> (0 <= exp_lower y scale P)%Z.
Proof.
  intros HP. unfold exp_lower. destruct (y =? 0)%Z.
  - unfold shl. rewrite Z.shiftl_mul_pow2 by lia. assert (0 <= 2 ^ P)%Z by (apply Z.pow_nonneg; lia). lia.
  - destruct (_ <=? _)%Z; [lia|]. cbv zeta. apply shr_nonneg; [|lia]. apply squares_lower_nonneg; lia.
Qed.
