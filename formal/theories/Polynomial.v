(** SPEC-7.9, the counting: inputs whose deficits add up to at most D, by one packed product of polynomials. *)
Require Import Lia ZArith Arith List Bool.
From Certify Require Import Sums Inputs.
Import ListNotations.
Open Scope Z_scope.

(** ** The program: per position, deficits with weights *)
Section Program.
Variable items : nat -> list (Z * Z).
Definition poly (slot D : Z) (l : list (Z * Z)) : Z :=
  fold_right (fun e a => if fst e <=? D then a + Z.shiftl (snd e) (slot * fst e) else a) 0 l.
Fixpoint packed (slot D live : Z) (n i : nat) : Z :=
  match n with O => 1 | S n' => Z.land (poly slot D (items i) * packed slot D live n' (S i)) live end.
Definition within (n : nat) (D : Z) : Z :=
  let slot := Z.log2 (zprod 0 n (fun i => Z.max 1 (lsum snd (items i)))) + 2 in
  packed slot D (Z.ones (slot * (D + 1))) n 0 mod (Z.shiftl 1 slot - 1).
End Program.

(** ** What it counts: the choices of one item for each position *)
Section Choices.
Variable items : nat -> list (Z * Z).
Fixpoint choices (n i : nat) : list (Z * Z) :=
  match n with
  | O => [(0, 1)]
  | S n' => flat_map (fun b => map (fun e => (fst b + fst e, snd b * snd e)) (choices n' (S i))) (items i)
  end.
Definition upto (D : Z) (l : list (Z * Z)) : list (Z * Z) := filter (fun e => fst e <=? D) l.

Hypothesis Hd : forall i e, In e (items i) -> 0 <= fst e /\ 0 <= snd e.
Lemma choices_nonneg n : forall i e, In e (choices n i) -> 0 <= fst e /\ 0 <= snd e.
Proof.
  induction n; intros i e I; simpl in I; [destruct I as [<-|[]]; simpl; lia|].
  apply in_flat_map in I as (b & Ib & I). apply in_map_iff in I as (x & <- & Ix). destruct (Hd i b Ib), (IHn _ _ Ix). simpl. nia.
Qed.

Definition bound n i := zprod i n (fun p => Z.max 1 (lsum snd (items p))).
Lemma choices_bound n : forall i, lsum snd (choices n i) <= bound n i /\ 1 <= bound n i.
Proof.
  unfold bound. induction n; intros i; simpl; [lia|]. destruct (IHn (S i)) as [A B]. rewrite lsum_flat_map.
  rewrite (lsum_ext _ (fun b => lsum snd (choices n (S i)) * snd b)).
  2:{ intros b _. rewrite lsum_map. rewrite (lsum_ext _ (fun e => snd b * snd e)) by reflexivity. rewrite lsum_scal. lia. }
  rewrite lsum_scal. assert (0 <= lsum snd (choices n (S i))) by (apply lsum_nonneg; intros e I; apply (choices_nonneg n (S i) e I)).
  assert (0 <= lsum snd (items i)) by (apply lsum_nonneg; intros e I; apply (Hd i e I)). nia.
Qed.

Section Packed.
Variables (slot D : Z).
Hypothesis Hslot : 0 < slot.
Hypothesis HD : 0 <= D.
Notation X := (2 ^ slot).
Definition eval (l : list (Z * Z)) : Z := lsum (fun e => snd e * 2 ^ (slot * fst e)) l.

Lemma eval_app a b : eval (a ++ b) = eval a + eval b. Proof. apply lsum_app. Qed.
Lemma poly_eval l : (forall e, In e l -> 0 <= fst e /\ 0 <= snd e) -> poly slot D l = eval (upto D l).
Proof.
  induction l as [|e l IH]; intros H; [reflexivity|]. simpl. unfold upto. simpl. fold (upto D l). rewrite IH by (intros; apply H; right; auto).
  destruct (fst e <=? D); [|reflexivity]. destruct (H e (or_introl eq_refl)). rewrite Z.shiftl_mul_pow2 by nia. unfold eval. simpl. lia.
Qed.
(** Terms above D are multiples of X^(D+1). *)
Lemma eval_split l : (forall e, In e l -> 0 <= fst e /\ 0 <= snd e) -> exists c, eval l = eval (upto D l) + c * 2 ^ (slot * (D + 1)).
Proof.
  induction l as [|e l IH]; intros H; [exists 0; reflexivity|]. destruct IH as (c & Ec); [intros; apply H; right; auto|]. destruct (H e (or_introl eq_refl)).
  unfold upto, eval in *. simpl. destruct (Z.leb_spec (fst e) D); simpl; rewrite Ec; [exists c; lia|].
  exists (c + snd e * 2 ^ (slot * (fst e - D - 1))). replace (slot * fst e) with (slot * (fst e - D - 1) + slot * (D + 1)) by lia.
  rewrite Z.pow_add_r by nia. lia.
Qed.
Lemma eval_small l : (forall e, In e l -> 0 <= fst e /\ 0 <= snd e) -> lsum snd l < X -> 0 <= eval (upto D l) < 2 ^ (slot * (D + 1)).
Proof.
  intros H Hs. assert (P : 0 < 2 ^ (slot * D)) by (apply Z.pow_pos_nonneg; nia).
  assert (G : 0 <= eval (upto D l) <= lsum snd l * 2 ^ (slot * D)).
  { clear Hs. induction l as [|e l IH]; [unfold eval; simpl; lia|]. assert (IH' := IH (fun x I => H x (or_intror I))). clear IH. destruct (H e (or_introl eq_refl)) as [A B].
    unfold upto, eval in *. simpl. destruct (Z.leb_spec (fst e) D) as [L|L]; simpl; [|nia].
    assert (0 < 2 ^ (slot * fst e)) by (apply Z.pow_pos_nonneg; nia). assert (2 ^ (slot * fst e) <= 2 ^ (slot * D)) by (apply Z.pow_le_mono_r; nia). nia. }
  replace (slot * (D + 1)) with (slot + slot * D) by lia. rewrite Z.pow_add_r by nia. nia.
Qed.
Lemma eval_product a b : eval (flat_map (fun x => map (fun e => (fst x + fst e, snd x * snd e)) b) a) = eval a * eval b
  \/ exists e, (In e a \/ In e b) /\ fst e < 0.
Proof.
  destruct (existsb (fun e => fst e <? 0) (a ++ b)) eqn:Ex.
  - right. apply existsb_exists in Ex as (e & I & Ee). apply Z.ltb_lt in Ee. exists e. apply in_app_iff in I. auto.
  - left. assert (N : forall e, In e (a ++ b) -> 0 <= fst e).
    { intros e I. destruct (Z_lt_le_dec (fst e) 0) as [L|]; [|assumption]. exfalso. apply not_true_iff_false in Ex. apply Ex. apply existsb_exists. exists e. split; [exact I|apply Z.ltb_lt; exact L]. }
    unfold eval. rewrite lsum_flat_map, Z.mul_comm, <- lsum_scal. apply lsum_ext. intros x Ix. rewrite lsum_map. cbn [fst snd].
    rewrite (lsum_ext _ (fun e => snd x * 2 ^ (slot * fst x) * (snd e * 2 ^ (slot * fst e)))).
    + rewrite lsum_scal. lia.
    + intros e Ie. rewrite Z.mul_add_distr_l, Z.pow_add_r; [lia| |]; apply Z.mul_nonneg_nonneg; try lia; apply N, in_app_iff; auto.
Qed.
Lemma upto_product a b : (forall e, In e a -> 0 <= fst e /\ 0 <= snd e) -> (forall e, In e b -> 0 <= fst e /\ 0 <= snd e) ->
  upto D (flat_map (fun x => map (fun e => (fst x + fst e, snd x * snd e)) b) a)
  = upto D (flat_map (fun x => map (fun e => (fst x + fst e, snd x * snd e)) (upto D b)) (upto D a)).
Proof.
  intros Ha Hb.
  assert (F : forall l1 l2, upto D (l1 ++ l2) = upto D l1 ++ upto D l2) by (intros; apply filter_app).
  assert (In1 : forall x, 0 <= fst x -> upto D (map (fun e => (fst x + fst e, snd x * snd e)) b) = upto D (map (fun e => (fst x + fst e, snd x * snd e)) (upto D b))).
  { intros x Hx. clear Ha. induction b as [|e b' IH]; [reflexivity|]. assert (IH' := IH (fun y I => Hb y (or_intror I))). destruct (Hb e (or_introl eq_refl)).
    simpl. unfold upto in *. simpl. destruct (Z.leb_spec (fst e) D), (Z.leb_spec (fst x + fst e) D); simpl; rewrite ?IH'; try reflexivity; try lia.
    - destruct (Z.leb_spec (fst x + fst e) D); [reflexivity|lia].
    - destruct (Z.leb_spec (fst x + fst e) D); [lia|reflexivity]. }
  induction a as [|x a' IH]; [reflexivity|]. destruct (Ha x (or_introl eq_refl)). simpl flat_map. rewrite F, (IH (fun y I => Ha y (or_intror I))), In1 by assumption.
  unfold upto at 4. simpl filter. fold (upto D a'). destruct (Z.leb_spec (fst x) D) as [L|L].
  - simpl flat_map. rewrite F. reflexivity.
  - replace (upto D (map (fun e => (fst x + fst e, snd x * snd e)) (upto D b))) with (@nil (Z * Z)); [reflexivity|]. symmetry.
    assert (Hub : forall e, In e (upto D b) -> 0 <= fst e) by (intros e I; apply filter_In in I as [I _]; apply (Hb e I)).
    clear IH In1. induction (upto D b) as [|e l IHl]; [reflexivity|]. unfold upto in *. simpl. pose proof (Hub e (or_introl eq_refl)). destruct (Z.leb_spec (fst x + fst e) D); [lia|].
    apply IHl. intros y I. apply Hub. right. exact I.
Qed.

Lemma packed_eval n : forall i, bound n i < X -> packed items slot D (Z.ones (slot * (D + 1))) n i = eval (upto D (choices n i)).
Proof.
  induction n; intros i Hb.
  - cbn [packed choices]. unfold upto. cbn [filter fst]. destruct (Z.leb_spec 0 D); [|lia]. unfold eval. cbn [lsum fst snd]. rewrite Z.mul_0_r. reflexivity.
  - cbn [packed choices]. rewrite Z.land_ones by nia. rewrite poly_eval by apply Hd.
    destruct (choices_bound n (S i)) as [_ B1].
    assert (B2 : bound n (S i) < X) by (unfold bound in *; cbn [zprod] in Hb; nia). rewrite IHn by exact B2.
    rewrite upto_product by (apply Hd || apply choices_nonneg).
    set (a := upto D (items i)). set (b := upto D (choices n (S i))). set (ab := flat_map _ a).
    assert (Na : forall e, In e a -> 0 <= fst e /\ 0 <= snd e) by (intros e I; apply filter_In in I as [I _]; apply (Hd i e I)).
    assert (Nb : forall e, In e b -> 0 <= fst e /\ 0 <= snd e) by (intros e I; apply filter_In in I as [I _]; apply (choices_nonneg n (S i) e I)).
    assert (Nab : forall e, In e ab -> 0 <= fst e /\ 0 <= snd e).
    { intros e I. apply in_flat_map in I as (x & Ix & I). apply in_map_iff in I as (y & <- & Iy). destruct (Na x Ix), (Nb y Iy). simpl. nia. }
    assert (Ep : eval ab = eval a * eval b).
    { destruct (eval_product a b) as [E|(e & [I|I] & L)]; [exact E|destruct (Na e I); lia|destruct (Nb e I); lia]. }
    rewrite <- Ep. destruct (eval_split ab Nab) as (c & Ec). rewrite Ec, Z.mod_add by (apply Z.pow_nonzero; nia). apply Z.mod_small. apply eval_small; [exact Nab|].
    apply Z.le_lt_trans with (2 := Hb). apply Z.le_trans with (lsum snd (choices (S n) i)); [|apply choices_bound].
    cbn [choices]. unfold ab. rewrite !lsum_flat_map.
    assert (Flt : forall (f : Z * Z -> Z) l, (forall e, In e l -> 0 <= f e) -> lsum f (upto D l) <= lsum f l).
    { intros f l H. unfold upto. rewrite lsum_filter. apply lsum_le. intros e I. destruct (fst e <=? D); [lia|apply H, I]. }
    apply Z.le_trans with (lsum (fun x => lsum snd (map (fun e => (fst x + fst e, snd x * snd e)) (choices n (S i)))) a).
    + apply lsum_le. intros x Ix. rewrite !lsum_map. cbn [snd]. apply Flt. intros e I. destruct (Na x Ix), (choices_nonneg n (S i) e I). nia.
    + apply Flt. intros x Ix. rewrite lsum_map. cbn [snd]. apply lsum_nonneg. intros e I. destruct (Hd i x Ix), (choices_nonneg n (S i) e I). nia.
Qed.

(** X is one, modulo X - 1: the value is the sum of the coefficients. *)
Lemma eval_mod l : (forall e, In e l -> 0 <= fst e /\ 0 <= snd e) -> lsum snd l < X - 1 -> eval l mod (X - 1) = lsum snd l.
Proof.
  intros H Hs. assert (P : 0 <= lsum snd l) by (apply lsum_nonneg; intros e I; apply (H e I)).
  assert (G : exists c, eval l = lsum snd l + c * (X - 1)).
  { clear Hs P. induction l as [|e l IH]; [exists 0; reflexivity|]. destruct IH as (c & Ec); [intros; apply H; right; auto|]. destruct (H e (or_introl eq_refl)).
    assert (E1 : exists d, 2 ^ (slot * fst e) = 1 + d * (X - 1)).
    { rewrite Z.pow_mul_r by lia. clear - H0. generalize dependent (fst e). intros z. apply (natlike_ind (fun z => exists d, X ^ z = 1 + d * (X - 1))).
      - exists 0. reflexivity.
      - intros x Hx (d & Ed). exists (d * X + 1). rewrite Z.pow_succ_r by exact Hx. rewrite Ed. ring. }
    destruct E1 as (d & Ed). exists (c + snd e * d). unfold eval in *. simpl. rewrite Ec, Ed. ring. }
  destruct G as (c & ->). rewrite Z.mod_add by lia. apply Z.mod_small. lia.
Qed.
End Packed.

(** SPEC-7.9 *)
Theorem within_choices n D : 0 <= D -> within items n D = lsum snd (upto D (choices n 0)).
Proof.
  intros HD. unfold within. cbv zeta. fold (bound n 0). set (slot := Z.log2 (bound n 0%nat) + 2). destruct (choices_bound n 0) as [A B].
  assert (Hs : 0 < slot) by (unfold slot; pose proof (Z.log2_nonneg (bound n 0%nat)); lia).
  assert (L : bound n 0%nat < 2 ^ slot - 1).
  { destruct (Z.log2_spec (bound n 0%nat) ltac:(lia)) as [_ L]. unfold slot. replace (Z.log2 (bound n 0%nat) + 2) with (Z.succ (Z.log2 (bound n 0%nat)) + 1) by lia.
    rewrite Z.pow_add_r by (pose proof (Z.log2_nonneg (bound n 0%nat)); lia). change (2 ^ 1) with 2. lia. }
  rewrite packed_eval by lia. rewrite Z.shiftl_mul_pow2, Z.mul_1_l by lia.
  apply eval_mod; [exact Hs|intros e I; apply filter_In in I as [I _]; apply (choices_nonneg n 0 e I)|].
  apply Z.le_lt_trans with (2 := L). apply Z.le_trans with (2 := A). unfold upto. rewrite lsum_filter. apply lsum_le.
  intros e I. destruct (choices_nonneg n 0 e I). destruct (fst e <=? D); lia.
Qed.
End Choices.

(** ** Choices are inputs *)
Section Inputs.
Variables (W : nat -> nat -> Z) (V : nat).
Hypothesis HW : forall i t, 0 <= W i t.
Variables (bk : nat -> nat) (toks : nat -> nat -> list nat) (blks : nat -> list nat) (d : nat -> nat -> Z).
Hypothesis toks_bk : forall i b t, In b (blks i) -> In t (toks i b) -> bk t = b.
Hypothesis toks_V : forall i b t, In b (blks i) -> In t (toks i b) -> (t < V)%nat.
Hypothesis toks_distinct : forall i b, NoDup (toks i b).
Hypothesis distinct : forall i, NoDup (blks i).
Definition items_of i : list (Z * Z) := map (fun b => (d i b, lsum (W i) (toks i b))) (blks i).

(** The inputs whose deficits sum to at most D. *)
Fixpoint small (i : nat) (D : Z) (s : list nat) : bool :=
  match s with
  | [] => 0 <=? D
  | t :: r => existsb (Nat.eqb t) (flat_map (toks i) (blks i)) && small (S i) (D - d i (bk t)) r
  end.

Lemma flat_nodup i : NoDup (flat_map (toks i) (blks i)).
Proof.
  pose proof (distinct i) as ND. assert (B : forall b t, In b (blks i) -> In t (toks i b) -> bk t = b) by (intros; eapply toks_bk; eauto).
  induction (blks i) as [|b l IH]; [constructor|]. inversion ND as [|? ? Nb ND']; subst. simpl.
  assert (App : forall (x y : list nat), NoDup x -> NoDup y -> (forall z, In z x -> ~ In z y) -> NoDup (x ++ y)).
  { induction x as [|z x IHx]; intros y Hx Hy Hz; [exact Hy|]. inversion Hx; subst. simpl. constructor.
    - rewrite in_app_iff. intros [I|I]; [contradiction|]. apply (Hz z); [left; reflexivity|exact I].
    - apply IHx; auto. intros w Iw. apply Hz. right. exact Iw. }
  apply App; [apply toks_distinct|apply IH; [exact ND'|intros; apply B; [right|]; auto]|].
  intros t It J. apply in_flat_map in J as (b' & Ib' & It'). apply Nb. replace b with b'; [exact Ib'|].
  rewrite <- (B b t (or_introl eq_refl) It). symmetry. apply B; [right; exact Ib'|exact It'].
Qed.

(** SPEC-7.9 *)
Theorem choices_mass n : forall i D, lsum snd (upto D (choices items_of n i)) = massi W i V n (small i D).
Proof.
  induction n; intros i D.
  - rewrite massi_O. cbn [choices small]. unfold upto. cbn [filter fst]. destruct (0 <=? D); reflexivity.
  - rewrite massi_S. cbn [choices].
    assert (L : lsum snd (upto D (flat_map (fun b => map (fun e => (fst b + fst e, snd b * snd e)) (choices items_of n (S i))) (items_of i)))
      = lsum (fun b => lsum (W i) (toks i b) * massi W (S i) V n (small (S i) (D - d i b))) (blks i)).
    { unfold items_of at 2. induction (blks i) as [|b l IHl]; [reflexivity|]. simpl. unfold upto. rewrite filter_app, lsum_app. fold (upto D).
      assert (One : lsum snd (filter (fun e => fst e <=? D) (map (fun e => (d i b + fst e, lsum (W i) (toks i b) * snd e)) (choices items_of n (S i))))
        = lsum (W i) (toks i b) * massi W (S i) V n (small (S i) (D - d i b))).
      { rewrite <- IHn. rewrite <- lsum_scal. unfold upto. rewrite !lsum_filter, lsum_map. apply lsum_ext. intros e _. cbn [fst snd].
        destruct (Z.leb_spec (d i b + fst e) D), (Z.leb_spec (fst e) (D - d i b)); lia. }
      rewrite One. unfold upto in IHl. rewrite IHl. reflexivity. }
    rewrite L.
    rewrite (lsum_ext _ (fun b => lsum (fun t => W i t * massi W (S i) V n (small (S i) (D - d i (bk t)))) (toks i b))).
    2:{ intros b Ib. rewrite Z.mul_comm, <- lsum_scal. apply lsum_ext. intros t It. rewrite (toks_bk i b t Ib It). lia. }
    rewrite <- (lsum_flat_map (toks i) (fun t => W i t * massi W (S i) V n (small (S i) (D - d i (bk t))))).
    set (tk := flat_map (toks i) (blks i)). set (f := fun t => W i t * massi W (S i) V n (small (S i) (D - d i (bk t)))).
    assert (Eq : lsum (fun t => W i t * massi W (S i) V n (fun ts => small i D (t :: ts))) (seq 0 V) = lsum (fun t => if existsb (Nat.eqb t) tk then f t else 0) (seq 0 V)).
    { apply lsum_ext. intros t _. cbn [small]. fold tk. destruct (existsb (Nat.eqb t) tk); [reflexivity|]. cbn [andb]. rewrite massi_false by reflexivity. lia. }
    rewrite Eq. symmetry. apply lsum_members; [apply flat_nodup|].
    intros t It. apply in_flat_map in It as (b & Ib & It). eapply toks_V; eauto.
Qed.
End Inputs.
