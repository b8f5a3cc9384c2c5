(** SPEC-6.2, SPEC-6.4, SPEC-7.5: enclosures of the weights of a cell, and one bound for each term. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs.
Import ListNotations.
Open Scope R_scope.

(** ** The largest and least of finitely many integers *)
Section Extremes.
Context {A : Type}.
Definition zmax (f : A -> Z) (l : list A) : Z :=
  match l with [] => 0%Z | x :: r => fold_left (fun a y => Z.max a (f y)) r (f x) end.
Definition zmin (f : A -> Z) (l : list A) : Z :=
  match l with [] => 0%Z | x :: r => fold_left (fun a y => Z.min a (f y)) r (f x) end.
Lemma fold_max_ge (f : A -> Z) (l : list A) : forall a, (a <= fold_left (fun a y => Z.max a (f y)) l a)%Z
  /\ forall x, In x l -> (f x <= fold_left (fun a y => Z.max a (f y)) l a)%Z.
Proof.
  induction l as [|y l IH]; intros a; simpl; [split; [lia|intros x []]|]. destruct (IH (Z.max a (f y))) as [B C].
  split; [lia|]. intros x [<-|I]; [lia|auto].
Qed.
Lemma fold_min_le (f : A -> Z) (l : list A) : forall a, (fold_left (fun a y => Z.min a (f y)) l a <= a)%Z
  /\ forall x, In x l -> (fold_left (fun a y => Z.min a (f y)) l a <= f x)%Z.
Proof.
  induction l as [|y l IH]; intros a; simpl; [split; [lia|intros x []]|]. destruct (IH (Z.min a (f y))) as [B C].
  split; [lia|]. intros x [<-|I]; [lia|auto].
Qed.
Lemma zmax_ge (f : A -> Z) (l : list A) x : In x l -> (f x <= zmax f l)%Z.
Proof. destruct l as [|y l]; [intros []|]. simpl. destruct (fold_max_ge f l (f y)) as [B C]. intros [<-|I]; auto. Qed.
Lemma zmin_le (f : A -> Z) (l : list A) x : In x l -> (zmin f l <= f x)%Z.
Proof. destruct l as [|y l]; [intros []|]. simpl. destruct (fold_min_le f l (f y)) as [B C]. intros [<-|I]; auto. Qed.
Lemma zmax_le (f : A -> Z) (l : list A) c : l <> [] -> (forall x, In x l -> f x <= c)%Z -> (zmax f l <= c)%Z.
Proof.
  destruct l as [|y l]; [congruence|]. intros _ H. simpl. assert (G : (f y <= c)%Z) by (apply H; left; auto).
  assert (H' : forall x, In x l -> (f x <= c)%Z) by (intros; apply H; right; auto). clear H. revert G. generalize (f y).
  induction l as [|z l IH]; intros a G; simpl; [exact G|]. apply IH; [intros; apply H'; right; auto|]. specialize (H' z (or_introl eq_refl)). lia.
Qed.
End Extremes.

(** ** 1/sqrt(d), SPEC-6.2 *)
Definition inverse_sqrt (d P : Z) : Z * Z :=
  let r := Z.sqrt (2 ^ (2 * P) / d) in (r, if (r * r * d =? 2 ^ (2 * P))%Z then r else (r + 1)%Z).
(** SPEC-6.2 *)
Lemma inverse_sqrt_sound d P : (0 < d)%nat -> (0 <= P)%Z ->
  (0 <= fst (inverse_sqrt (Z.of_nat d) P) <= snd (inverse_sqrt (Z.of_nat d) P))%Z /\
  IZR (fst (inverse_sqrt (Z.of_nat d) P)) * sqrt (INR d) <= p2 P <= IZR (snd (inverse_sqrt (Z.of_nat d) P)) * sqrt (INR d).
Proof.
  intros Hd HP. unfold inverse_sqrt. set (D := Z.of_nat d). assert (HD : (0 < D)%Z) by (unfold D; lia).
  assert (H4 : (0 < 2 ^ (2 * P))%Z) by (apply Z.pow_pos_nonneg; lia).
  set (x := (2 ^ (2 * P) / D)%Z). assert (Hx : (0 <= x)%Z) by (apply Z.div_pos; lia).
  pose proof (Z.sqrt_spec x Hx) as [A B]. pose proof (Z.sqrt_nonneg x). set (r := Z.sqrt x) in *. cbv zeta.
  pose proof (Z.div_mod (2 ^ (2 * P)) D ltac:(lia)) as E. pose proof (Z.mod_pos_bound (2 ^ (2 * P)) D HD). fold x in E.
  assert (L : (r * r * D <= 2 ^ (2 * P))%Z) by nia.
  assert (Q : p2 P * p2 P = IZR (2 ^ (2 * P))) by (rewrite <- p2_plus by lia; unfold p2; do 2 f_equal; lia).
  assert (S0 : 0 < INR d) by (apply lt_0_INR; lia). assert (SS : sqrt (INR d) * sqrt (INR d) = IZR D) by (rewrite sqrt_sqrt by lra; apply INR_IZR_INZ).
  pose proof (sqrt_lt_R0 _ S0). pose proof (p2_pos P HP).
  assert (C : forall z, (0 <= z)%Z -> (IZR z * sqrt (INR d)) * (IZR z * sqrt (INR d)) = IZR (z * z * D)).
  { intros z _. rewrite !mult_IZR, <- SS. ring. }
  cbn [fst snd]. split; [destruct (_ =? _)%Z; lia|]. split.
  - apply Rsqr_incr_0_var; [|lra]. unfold Rsqr. rewrite C, Q by lia. apply IZR_le. exact L.
  - assert (forall z, (0 <= z)%Z -> (2 ^ (2 * P) <= z * z * D)%Z -> p2 P <= IZR z * sqrt (INR d)) as K.
    { intros z Hz Hzz. assert (0 <= IZR z) by (apply (IZR_le 0); exact Hz).
      apply Rsqr_incr_0_var; [|apply Rmult_le_pos; lra]. unfold Rsqr. rewrite C, Q by lia. apply IZR_le. exact Hzz. }
    destruct (Z.eqb_spec (r * r * D) (2 ^ (2 * P))) as [F|F]; apply K; try lia. unfold Z.succ in B. nia.
Qed.

(** ** What a check knows: the path matrices over two scales, and the precision *)
Record env := Env { eT : paths; ek : nat; eV : nat; eO : nat; edh : nat; ess : Z; evs : Z; eP : Z; eroot : Z * Z; ekappa : nat -> Z }.

Record holds (N : net) (E : env) : Prop := Holds {
  h_ctx : n_ctx N = S (ek E);
  h_dh : d_head N = edh E; h_dh0 : (0 < edh E)%nat; h_ss : (0 <= ess E)%Z; h_vs : (0 <= evs E)%Z; h_P : (16 <= eP E)%Z;
  h_root : eroot E = inverse_sqrt (Z.of_nat (edh E)) (eP E + 64);
  h_QKE : forall q t, (q < eV E)%nat -> (t < eV E)%nat -> EQKE N q t = IZR (pQKE (eT E) q t) / p2 (ess E);
  h_QKP : forall q i, (q < eV E)%nat -> (i <= ek E)%nat -> EQKP N q i = IZR (pQKP (eT E) q i) / p2 (ess E);
  h_VO : (eV E <= eO E)%nat;
  h_br : forall q i t j m, (q < eV E)%nat -> (i <= ek E)%nat -> (t < eV E)%nat -> (j < eO E)%nat -> (m < eO E)%nat ->
    bracket N q i t j m = IZR (zbracket (eT E) q i t j m) / p2 (evs E) }.

Definition exp_ends (root : Z * Z) (ss P : Z) (below_low below_high : Z) : Z * Z :=
  let sc := (ss + P + 64)%Z in (exp_lower (below_high * snd root) sc P, exp_upper (below_low * fst root) sc P).

Lemma exp_mono x y : x <= y -> exp x <= exp y.
Proof. intros [H| ->]; [apply Rlt_le, exp_increasing; exact H|lra]. Qed.

(** SPEC-6.4 *)
Lemma exp_ends_sound d ss P yl y yh : (0 < d)%nat -> (0 <= ss)%Z -> (16 <= P)%Z -> (0 <= yl)%Z -> (yl <= y <= yh)%Z ->
  let e := exp_ends (inverse_sqrt (Z.of_nat d) (P + 64)) ss P yl yh in
  (0 <= fst e)%Z /\ encl P (fst e) (snd e) (exp (- (IZR y / p2 ss / sqrt (INR d)))).
Proof.
  intros Hd Hss HP H0 [Hl Hh] e. unfold e, exp_ends. cbn [fst snd].
  pose proof (inverse_sqrt_sound d (P + 64) Hd ltac:(lia)) as [R [A B]]. split; [apply exp_lower_nonneg; nia|].
  destruct (inverse_sqrt (Z.of_nat d) (P + 64)) as [rl rh]. cbn [fst snd] in *.
  set (rt := sqrt (INR d)) in *. assert (0 < rt) by (apply sqrt_lt_R0, lt_0_INR, Hd).
  assert (Hsc : p2 (ss + P + 64) = p2 ss * p2 (P + 64)) by (rewrite <- p2_plus by lia; f_equal; lia).
  pose proof (p2_pos ss Hss) as HS. pose proof (p2_pos (P + 64) ltac:(lia)) as HQ. pose proof (p2_pos P ltac:(lia)) as HPU.
  set (Q := p2 (P + 64)) in *. set (U := p2 ss) in *.
  assert (IL : IZR rl / Q <= / rt).
  { apply Rmult_le_reg_r with (Q * rt); [apply Rmult_lt_0_compat; lra|]. replace (IZR rl / Q * (Q * rt)) with (IZR rl * rt) by (field; lra).
    replace (/ rt * (Q * rt)) with Q by (field; lra). exact A. }
  assert (IH : / rt <= IZR rh / Q).
  { apply Rmult_le_reg_r with (Q * rt); [apply Rmult_lt_0_compat; lra|]. replace (IZR rh / Q * (Q * rt)) with (IZR rh * rt) by (field; lra).
    replace (/ rt * (Q * rt)) with Q by (field; lra). exact B. }
  assert (Y0 : 0 <= IZR yl) by (apply (IZR_le 0); lia). assert (Y1 : IZR yl <= IZR y <= IZR yh) by (split; apply IZR_le; lia).
  assert (IU : 0 < / U) by (apply Rinv_0_lt_compat; lra). assert (Irt : 0 < / rt) by (apply Rinv_0_lt_compat; lra).
  pose proof (exp_enclosure_sound (yh * rh) (ss + P + 64) P ltac:(nia) ltac:(lia) HP) as [LO _].
  pose proof (exp_enclosure_sound (yl * rl) (ss + P + 64) P ltac:(nia) ltac:(lia) HP) as [_ HI].
  rewrite exp_enclosure_ends, Hsc, mult_IZR in LO, HI. cbn [fst snd] in LO, HI. split.
  - apply Rle_trans with (1 := LO). apply Rmult_le_compat_r; [lra|]. apply exp_mono, Ropp_le_contravar.
    replace (IZR yh * IZR rh / (U * Q)) with (IZR yh * / U * (IZR rh / Q)) by (field; lra). unfold Rdiv at 1 2.
    apply Rmult_le_compat; try lra; [apply Rmult_le_pos; lra|]. apply Rmult_le_compat_r; lra.
  - refine (Rle_trans _ _ _ _ HI). apply Rmult_le_compat_r; [lra|]. apply exp_mono, Ropp_le_contravar.
    replace (IZR yl * IZR rl / (U * Q)) with (IZR yl * / U * (IZR rl / Q)) by (field; lra). unfold Rdiv at 2 3.
    apply Rmult_le_compat; try lra; [apply Rmult_le_pos; lra| |].
    + apply Rmult_le_pos; [apply (IZR_le 0); lia|apply Rlt_le, Rinv_0_lt_compat; lra].
    + apply Rmult_le_compat_r; lra.
Qed.

(** ** 7.5, one term: integer ends of the weight, integer bracket *)
Definition upper_term (lo hi v : Z) : Z := if (0 <? v)%Z then (hi * v)%Z else (lo * v)%Z.
Definition lower_term (lo hi v : Z) : Z := if (0 <? v)%Z then (lo * v)%Z else (hi * v)%Z.

(** SPEC-7.5 *)
Lemma upper_term_sound lo hi a b v : 0 <= a -> IZR lo <= a <= IZR hi -> b <= IZR v -> a * b <= IZR (upper_term lo hi v).
Proof.
  intros Ha [Hlo Hhi] Hb. unfold upper_term. assert (A : a * b <= a * IZR v) by (apply Rmult_le_compat_l; lra).
  destruct (Z.ltb_spec 0 v) as [Hv|Hv]; rewrite mult_IZR.
  - apply IZR_lt in Hv. assert (a * IZR v <= IZR hi * IZR v) by (apply Rmult_le_compat_r; lra). lra.
  - apply IZR_le in Hv. assert (IZR lo * - IZR v <= a * - IZR v) by (apply Rmult_le_compat_r; lra). lra.
Qed.
Lemma lower_term_sound lo hi a v : 0 <= a -> IZR lo <= a <= IZR hi -> IZR (lower_term lo hi v) <= a * IZR v.
Proof.
  intros Ha [Hlo Hhi]. unfold lower_term. destruct (Z.ltb_spec 0 v) as [Hv|Hv]; rewrite mult_IZR.
  - apply IZR_lt in Hv. apply Rmult_le_compat_r; lra.
  - apply IZR_le in Hv. assert (a * - IZR v <= IZR hi * - IZR v) by (apply Rmult_le_compat_r; lra). lra.
Qed.

(** ** From a sum of terms to the margin of an answer, SPEC-7.6 *)
Definition tok (ts : list nat) (i : nat) : nat := nth i ts 0%nat.
Definition gap (N : net) (m j : nat) (ts : list nat) : R := logit N (tok ts) m - logit N (tok ts) j.

Section Gap.
Variables (N : net) (ts : list nat) (j m k : nat) (vs zmu : Z) (c : R).
Hypothesis Hn : n_ctx N = S k.
Hypothesis Hvs : (0 <= vs)%Z.
Hypothesis Hc : 0 < c.
Notation q := (tok ts k).
Notation w i := (c * weight N q (tok ts i) i).
Notation U := (p2 vs).

Lemma sum_gap : Rsum (S k) (fun i => w i * (bracket N q i (tok ts i) j m * U + IZR zmu)) = Rsum (S k) (fun i => w i) * (IZR zmu - gap N m j ts * U).
Proof.
  rewrite (Rsum_ext _ _ (fun i => c * U * (weight N q (tok ts i) i * bracket N q i (tok ts i) j m) + IZR zmu * (w i))) by (intros; ring).
  rewrite Rsum_plus, !Rsum_scal_l.
  pose proof (lemma_4_4 N (tok ts) ltac:(lia) j m) as L. rewrite Hn in L. replace (S k - 1)%nat with k in L by lia.
  rewrite <- L. unfold gap. ring.
Qed.
Lemma weights_pos' : 0 < Rsum (S k) (fun i => w i).
Proof. apply Rsum_pos; [lia|]. intros. apply Rmult_lt_0_compat; [exact Hc|apply exp_pos]. Qed.

(** SPEC-7.6 *)
Theorem gap_of_sum S0 H : Rsum (S k) (fun i => w i * (bracket N q i (tok ts i) j m * U + IZR zmu)) <= IZR S0 -> (S0 < 0)%Z ->
  Rsum (S k) (fun i => w i) <= IZR H ->
  IZR zmu < gap N m j ts * U /\ IZR (zmu + - S0 / H) <= gap N m j ts * U.
Proof.
  rewrite sum_gap. pose proof weights_pos' as A0. set (A := Rsum _ _) in *. set (G := gap N m j ts * U). intros HS Hneg HH.
  apply IZR_lt in Hneg. assert (HHp : (0 < H)%Z) by (apply lt_IZR; lra).
  assert (P : 0 < G - IZR zmu). { apply Rmult_lt_reg_l with A; [exact A0|]. lra. }
  split; [lra|]. rewrite plus_IZR. set (d := (- S0 / H)%Z). assert (D : (H * d <= - S0)%Z) by (apply Z.mul_div_le; exact HHp).
  apply IZR_le in D. rewrite mult_IZR, opp_IZR in D. enough (IZR d <= G - IZR zmu) by lra. apply Rmult_le_reg_l with A; [exact A0|].
  destruct (Rle_or_lt (IZR d) 0) as [N0|N0].
  - assert (0 <= A * (G - IZR zmu)) by (apply Rmult_le_pos; lra). assert (0 <= A * - IZR d) by (apply Rmult_le_pos; lra). lra.
  - assert (A * IZR d <= IZR H * IZR d) by (apply Rmult_le_compat_r; lra). lra.
Qed.

(** The other way round: terms that cannot sum to less than zero. *)
Theorem wrong_of_sum S0 : IZR S0 <= Rsum (S k) (fun i => w i * (bracket N q i (tok ts i) j m * U)) -> (0 <= S0)%Z -> gap N m j ts <= 0.
Proof.
  intros HS H0. apply IZR_le in H0. pose proof weights_pos' as A0. pose proof (p2_pos vs Hvs).
  assert (E : Rsum (S k) (fun i => w i * (bracket N q i (tok ts i) j m * U)) = Rsum (S k) (fun i => w i) * - (gap N m j ts * U)).
  { pose proof (lemma_4_4 N (tok ts) ltac:(lia) j m) as L. rewrite Hn in L. replace (S k - 1)%nat with k in L by lia.
    rewrite (Rsum_ext _ _ (fun i => c * U * (weight N q (tok ts i) i * bracket N q i (tok ts i) j m))) by (intros; ring).
    rewrite !Rsum_scal_l, <- L. unfold gap. ring. }
  rewrite E in HS. apply Rnot_lt_le. intros G. assert (0 < Rsum (S k) (fun i => w i) * (gap N m j ts * U)) by (repeat apply Rmult_lt_0_compat; lra). lra.
Qed.
End Gap.
