(** SPEC-7.8, the tie rule: one input, decided by exact sums, then by more and more precision. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms.
Import ListNotations.
Open Scope R_scope.

(** ** The program *)
Fixpoint insert (s v : Z) (l : list (Z * Z)) : list (Z * Z) :=
  match l with [] => [(s, v)] | e :: r => if (fst e =? s)%Z then (s, (snd e + v)%Z) :: r else e :: insert s v r end.

Section Program.
Variable E : env.
Notation T := (eT E).
Definition exact_sums (m j : nat) (tokens : list nat) : list (Z * Z) :=
  let q := last tokens 0%nat in
  filter (fun e => negb (snd e =? 0)%Z)
    (fold_right (fun it l => insert (pQKE T q (snd it) + pQKP T q (fst it)) (zbracket T q (fst it) (snd it) j m) l) []
       (combine (seq 0 (S (ek E))) tokens)).
Fixpoint sign_from (fuel : nat) (P : Z) (sums : list (Z * Z)) : option Z :=
  match fuel with
  | O => None
  | S f =>
    if (4096 <? P)%Z then None else
    let root := inverse_sqrt (Z.of_nat (edh E)) (P + 64) in
    let top := zmax fst sums in
    let found := map (fun e => (snd e, exp_ends root (ess E) P (top - fst e) (top - fst e))) sums in
    if (0 <? lsum (fun e => lower_term (fst (snd e)) (snd (snd e)) (fst e)) found)%Z then Some 1%Z
    else if (lsum (fun e => upper_term (fst (snd e)) (snd (snd e)) (fst e)) found <? 0)%Z then Some (-1)%Z
    else sign_from f (2 * P) sums
  end.
Definition sign (sums : list (Z * Z)) : option Z :=
  match sums with [] => Some 0%Z | _ => sign_from 16 (Z.min (2 * eP E) 4096) sums end.
(** Whether some answer reaches the logit of m; none if 4 096 bits do not tell. *)
Definition is_wrong (m : nat) (answers : list nat) (tokens : list nat) : option bool :=
  let signs := map (fun j => sign (exact_sums m j tokens)) answers in
  if existsb (fun s => match s with Some x => (0 <=? x)%Z | None => false end) signs then Some true
  else if existsb (fun s => match s with None => true | _ => false end) signs then None else Some false.
End Program.

(** ** What it proves *)
Fixpoint lsumR {A} (f : A -> R) (l : list A) : R := match l with [] => 0 | x :: r => f x + lsumR f r end.
Lemma lsumR_ext {A} (f g : A -> R) l : (forall x, In x l -> f x = g x) -> lsumR f l = lsumR g l.
Proof. induction l; simpl; intros H; [reflexivity|]. rewrite H, IHl; auto. Qed.
Lemma lsumR_scal {A} c (f : A -> R) l : lsumR (fun x => c * f x) l = c * lsumR f l.
Proof. induction l; simpl; [ring|]. rewrite IHl. ring. Qed.
Lemma lsumR_le {A} (f g : A -> R) l : (forall x, In x l -> f x <= g x) -> lsumR f l <= lsumR g l.
Proof. induction l; simpl; intros H; [lra|]. apply Rplus_le_compat; auto. Qed.
Lemma lsumR_IZR {A} (f : A -> Z) l : lsumR (fun x => IZR (f x)) l = IZR (lsum f l).
Proof. induction l; simpl; [reflexivity|]. rewrite IHl, plus_IZR. reflexivity. Qed.

Section Sound.
Variables (N : net) (E : env).
Hypothesis HE : holds N E.
Notation T := (eT E). Notation k := (ek E). Notation V := (eV E).
Notation US := (p2 (ess E)). Notation rt := (sqrt (INR (edh E))). Notation U := (p2 (evs E)).
Definition power (e : Z * Z) : R := exp (IZR (fst e) / US / rt) * IZR (snd e).

Lemma insert_sum s v l : lsumR power (insert s v l) = exp (IZR s / US / rt) * IZR v + lsumR power l.
Proof.
  induction l as [|e l IH]; simpl; [unfold power; simpl; ring|]. destruct (Z.eqb_spec (fst e) s) as [Es|]; simpl.
  - unfold power at 1 3. cbn [fst snd]. rewrite Es, plus_IZR. ring.
  - rewrite IH. ring.
Qed.
Lemma filter_sum l : lsumR power (filter (fun e => negb (snd e =? 0)%Z) l) = lsumR power l.
Proof.
  induction l as [|e l IH]; simpl; [reflexivity|]. destruct (Z.eqb_spec (snd e) 0) as [Z0|]; simpl; rewrite IH; [|reflexivity].
  unfold power at 2. rewrite Z0. ring.
Qed.

Lemma sign_from_sound fuel : forall P sums, sums <> [] -> (16 <= P)%Z ->
  (sign_from E fuel P sums = Some 1%Z -> 0 < lsumR power sums) /\ (sign_from E fuel P sums = Some (-1)%Z -> lsumR power sums < 0)
  /\ sign_from E fuel P sums <> Some 0%Z.
Proof.
  induction fuel as [|f IH]; intros P sums Hs HP; cbn [sign_from]; [repeat split; discriminate|].
  destruct (4096 <? P)%Z; [repeat split; discriminate|]. cbv zeta. set (top := zmax fst sums).
  set (ee := fun e : Z * Z => exp_ends (inverse_sqrt (Z.of_nat (edh E)) (P + 64)) (ess E) P (top - fst e) (top - fst e)). rewrite !lsum_map. cbn [fst snd].
  pose proof (p2_pos P ltac:(lia)) as HPU.
  set (c := exp (- (IZR top / US / rt)) * p2 P). assert (Hc : 0 < c) by (apply Rmult_lt_0_compat; [apply exp_pos|exact HPU]).
  assert (B : forall e, In e sums -> IZR (fst (ee e)) <= c * exp (IZR (fst e) / US / rt) <= IZR (snd (ee e))).
  { intros e Ie. pose proof (zmax_ge fst sums e Ie). fold top in H.
    destruct (exp_ends_sound (edh E) (ess E) P (top - fst e) (top - fst e) (top - fst e) (h_dh0 N E HE) (h_ss N E HE) HP ltac:(lia) ltac:(lia)) as [_ A].
    unfold encl in A. fold (ee e) in A. unfold c.
    replace (exp (- (IZR top / US / rt)) * p2 P * exp (IZR (fst e) / US / rt)) with (exp (- (IZR (top - fst e) / US / rt)) * p2 P); [exact A|].
    rewrite Rmult_assoc, (Rmult_comm (p2 P)), <- Rmult_assoc, <- exp_plus. f_equal. f_equal. rewrite minus_IZR. unfold Rdiv. ring. }
  assert (Lo : IZR (lsum (fun e => lower_term (fst (ee e)) (snd (ee e)) (snd e)) sums) <= c * lsumR power sums).
  { rewrite <- lsumR_IZR, <- lsumR_scal. apply lsumR_le. intros e Ie. unfold power. rewrite <- Rmult_assoc. apply lower_term_sound; [|apply B, Ie].
    apply Rlt_le, Rmult_lt_0_compat; [exact Hc|apply exp_pos]. }
  assert (Hi : c * lsumR power sums <= IZR (lsum (fun e => upper_term (fst (ee e)) (snd (ee e)) (snd e)) sums)).
  { rewrite <- lsumR_IZR, <- lsumR_scal. apply lsumR_le. intros e Ie. unfold power. rewrite <- Rmult_assoc. apply upper_term_sound; [|apply B, Ie|lra].
    apply Rlt_le, Rmult_lt_0_compat; [exact Hc|apply exp_pos]. }
  destruct (0 <? _)%Z eqn:L.
  - apply Z.ltb_lt in L. change (0 < lsum (fun e => lower_term (fst (ee e)) (snd (ee e)) (snd e)) sums)%Z in L.
    repeat split; try discriminate. intros _. apply IZR_lt in L. apply Rmult_lt_reg_l with c; lra.
  - destruct (_ <? 0)%Z eqn:G.
    + apply Z.ltb_lt in G. change (lsum (fun e => upper_term (fst (ee e)) (snd (ee e)) (snd e)) sums < 0)%Z in G.
      repeat split; try discriminate. intros _. apply IZR_lt in G. apply Rmult_lt_reg_l with c; lra.
    + apply IH; [exact Hs|lia].
Qed.

Section Input.
Variables (m : nat) (ts : list nat).
Hypothesis Hlen : length ts = S k.
Hypothesis HtV : forall p, (p <= k)%nat -> (tok ts p < V)%nat.
Hypothesis HmV : (m < V)%nat.
Notation q := (tok ts k).

Lemma combine_sum (f : nat -> nat -> R) : forall (l : list nat) s, lsumR (fun it => f (fst it) (snd it)) (combine (seq s (length l)) l) = Rsum (length l) (fun i => f (s + i)%nat (nth i l 0%nat)).
Proof.
  intros l. induction l as [|x l IH] using rev_ind; intros s; [reflexivity|]. rewrite app_length, Nat.add_1_r, seq_S. cbn [Rsum].
  assert (C : forall (a : list nat) (b : list nat) x y, length a = length b -> combine (a ++ [x]) (b ++ [y]) = combine a b ++ [(x, y)]).
  { induction a; intros [|? b] ? ? L; simpl in *; try discriminate; [reflexivity|]. f_equal. apply IHa. lia. }
  rewrite C by apply seq_length.
  assert (A : forall a b, lsumR (fun it : nat * nat => f (fst it) (snd it)) (a ++ b) = lsumR (fun it => f (fst it) (snd it)) a + lsumR (fun it => f (fst it) (snd it)) b).
  { induction a; intros; simpl; [ring|]. rewrite IHa. ring. }
  rewrite A, IH. cbn [lsumR fst snd]. rewrite app_nth2, Nat.sub_diag by lia. cbn [nth]. rewrite Rplus_0_r. f_equal.
  apply Rsum_ext. intros i Hi. rewrite app_nth1 by lia. reflexivity.
Qed.

Lemma exact_sums_value j : (j < eO E)%nat -> lsumR power (exact_sums E m j ts) = - (gap N m j ts * U) * Rsum (S k) (fun i => weight N q (tok ts i) i).
Proof.
  intros Hj. pose proof (p2_pos (evs E) (h_vs N E HE)) as HU. pose proof (p2_pos (ess E) (h_ss N E HE)).
  assert (Hrt : 0 < rt) by (apply sqrt_lt_R0, lt_0_INR, (h_dh0 N E HE)).
  unfold exact_sums. rewrite filter_sum. change (last ts 0%nat) with (query_of ts). rewrite (query_nth k) by exact Hlen. change (nth k ts 0%nat) with q.
  assert (G : forall l, lsumR power (fold_right (fun it l => insert (pQKE T q (snd it) + pQKP T q (fst it)) (zbracket T q (fst it) (snd it) j m) l) [] l)
    = lsumR (fun it => exp (IZR (pQKE T q (snd it) + pQKP T q (fst it)) / US / rt) * IZR (zbracket T q (fst it) (snd it) j m)) l).
  { induction l as [|it l IH]; [reflexivity|]. simpl fold_right. rewrite insert_sum, IH. reflexivity. }
  rewrite G, <- Hlen.
  rewrite (combine_sum (fun i t => exp (IZR (pQKE T q t + pQKP T q i) / US / rt) * IZR (zbracket T q i t j m))). rewrite Hlen. cbn [Nat.add].
  pose proof (lemma_4_4 N (tok ts) ltac:(rewrite (h_ctx N E HE); lia) j m) as L. rewrite (h_ctx N E HE) in L. replace (S k - 1)%nat with k in L by lia.
  unfold gap. replace (- ((logit N (tok ts) m - logit N (tok ts) j) * U) * Rsum (S k) (fun i => weight N q (tok ts i) i))
    with (U * ((logit N (tok ts) j - logit N (tok ts) m) * Rsum (S k) (fun i => weight N q (tok ts i) i))) by ring.
  rewrite L, <- Rsum_scal_l. apply Rsum_ext. intros i Hi. fold (tok ts i). unfold weight.
  pose proof (h_VO N E HE). rewrite (h_QKE N E HE), (h_QKP N E HE), (h_dh N E HE), (h_br N E HE) by (try apply HtV; lia).
  rewrite plus_IZR. replace ((IZR (pQKE T q (tok ts i)) / US + IZR (pQKP T q i) / US) / rt) with ((IZR (pQKE T q (tok ts i)) + IZR (pQKP T q i)) / US / rt) by (field; lra).
  field. lra.
Qed.

Lemma sign_sound j : (j < eO E)%nat ->
  (forall s, sign E (exact_sums E m j ts) = Some s -> (0 <= s)%Z -> gap N m j ts <= 0) /\
  (forall s, sign E (exact_sums E m j ts) = Some s -> (s < 0)%Z -> 0 < gap N m j ts).
Proof.
  intros Hj. pose proof (exact_sums_value j Hj) as Ev. pose proof (p2_pos (evs E) (h_vs N E HE)) as HU.
  assert (A : 0 < Rsum (S k) (fun i => weight N q (tok ts i) i)) by (apply Rsum_pos; [lia|]; intros; apply exp_pos). set (A0 := Rsum _ _) in *.
  assert (Pos : 0 < lsumR power (exact_sums E m j ts) -> gap N m j ts <= 0).
  { intros H. rewrite Ev in H. apply Rnot_lt_le. intros G. assert (0 < gap N m j ts * U * A0) by (repeat apply Rmult_lt_0_compat; lra). lra. }
  assert (Neg : lsumR power (exact_sums E m j ts) < 0 -> 0 < gap N m j ts).
  { intros H. rewrite Ev in H. apply Rnot_le_lt. intros G. assert (0 <= - gap N m j ts * U * A0) by (repeat apply Rmult_le_pos; lra). lra. }
  assert (HP : (16 <= Z.min (2 * eP E) 4096)%Z) by (pose proof (h_P N E HE); lia).
  unfold sign. destruct (exact_sums E m j ts) as [|e l] eqn:El.
  - split; intros s [= <-] H; [|lia]. simpl in Ev. assert (Z0 : gap N m j ts * U * A0 = 0) by lra.
    apply Rnot_lt_le. intros G. assert (0 < gap N m j ts * U * A0) by (repeat apply Rmult_lt_0_compat; lra). lra.
  - destruct (sign_from_sound 16 _ (e :: l) ltac:(discriminate) HP) as (S1 & S2 & S3).
    assert (Only : forall fuel P sums s, sign_from E fuel P sums = Some s -> s = 1%Z \/ s = (-1)%Z).
    { induction fuel as [|f IHf]; intros P sums s; cbn [sign_from]; [discriminate|]. destruct (4096 <? P)%Z; [discriminate|]. cbv zeta.
      destruct (0 <? _)%Z; [intros [= <-]; auto|]. destruct (_ <? 0)%Z; [intros [= <-]; auto|]. apply IHf. }
    split; intros s Es H; destruct (Only _ _ _ _ Es) as [-> | ->]; try lia; auto.
Qed.

(** SPEC-7.8 *)
Theorem is_wrong_true answers : (forall j, In j answers -> (j < eO E)%nat) -> is_wrong E m answers ts = Some true -> exists j, In j answers /\ gap N m j ts <= 0.
Proof.
  intros Ha H. unfold is_wrong in H. destruct (existsb _ _) eqn:Ex.
  - apply existsb_exists in Ex as (s & I & Es). apply in_map_iff in I as (j & Ej & Ij). destruct s as [s|]; [|discriminate]. apply Z.leb_le in Es.
    exists j. split; [exact Ij|]. eapply (sign_sound j (Ha j Ij)); eauto.
  - destruct (existsb _ _) in H; discriminate.
Qed.
(** SPEC-7.8 *)
Theorem is_wrong_false answers : (forall j, In j answers -> (j < eO E)%nat) -> is_wrong E m answers ts = Some false -> forall j, In j answers -> 0 < gap N m j ts.
Proof.
  intros Ha H j Ij. unfold is_wrong in H. destruct (existsb _ _) eqn:Ex1; [discriminate|]. destruct (existsb _ _) eqn:Ex2 in H; [discriminate|].
  assert (I : In (sign E (exact_sums E m j ts)) (map (fun j => sign E (exact_sums E m j ts)) answers)) by (apply in_map_iff; eauto).
  destruct (sign E (exact_sums E m j ts)) as [s|] eqn:Es.
  - apply (proj2 (sign_sound j (Ha j Ij)) s Es). destruct (Z_lt_le_dec s 0) as [|L]; [assumption|]. exfalso.
    apply not_true_iff_false in Ex1. apply Ex1. apply existsb_exists. exists (Some s). split; [exact I|]. apply Z.leb_le. exact L.
  - exfalso. apply not_true_iff_false in Ex2. apply Ex2. apply existsb_exists. exists None. split; [exact I|reflexivity].
Qed.
End Input.
End Sound.
