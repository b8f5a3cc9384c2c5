(** The theorem, for a reader who knows nothing of the rules.

    A model is matrices of integers over one power of two.  It reads n tokens and answers with the largest logit;
    it is right when the logit of the largest token is above every other: a tie is wrong.  If the extracted
    program [check] accepts a certificate, the bounds that it prints hold for the network of real numbers. *)
Require Import Reals ZArith List Arith Bool Lia Lra.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Leaf Check.
Import ListNotations.
Open Scope R_scope.

Section Page.
Variable M : zmodel.     (* n - 1, d_vocab, d_vocab_out, d_model, d_head; the scale; twelve tensors of integers *)

(** ** What the network computes: one layer, one head, softmax attention, no MLP, in exact real arithmetic *)
Definition n : nat := S (zk M).
Definition number (z : Z) : R := IZR z / IZR (2 ^ zS M).
Section Tokens.
Variable tokens : list nat.
Definition token (i : nat) : nat := nth i tokens 0%nat.
Definition x (i d : nat) : R := number (zWE M (token i) d) + number (zWpos M i d).
Definition query (h : nat) : R := Rsum (zdm M) (fun d => x (zk M) d * number (zWQ M d h)) + number (zbQ M h).
Definition key (i h : nat) : R := Rsum (zdm M) (fun d => x i d * number (zWK M d h)) + number (zbK M h).
Definition value (i h : nat) : R := Rsum (zdm M) (fun d => x i d * number (zWV M d h)) + number (zbV M h).
Definition score (i : nat) : R := Rsum (zdh M) (fun h => query h * key i h) / sqrt (INR (zdh M)).
Definition attention (i : nat) : R := exp (score i) / Rsum n (fun k => exp (score k)).
Definition mixed (h : nat) : R := Rsum n (fun i => attention i * value i h).
Definition output (d : nat) : R := x (zk M) d + (Rsum (zdh M) (fun h => mixed h * number (zWO M h d)) + number (zbO M d)).
Definition logit_of (j : nat) : R := Rsum (zdm M) (fun d => output d * number (zWU M d j)) + number (zbU M j).

(** ** What is right: the largest token, strictly; by a margin, in units of 2^-20 *)
Definition largest : nat := fold_right Nat.max 0%nat tokens.
Definition below (a b : R) : bool := if Rlt_dec a b then true else false.
Definition at_most (a b : R) : bool := if Rle_dec a b then true else false.
Definition correct : bool :=
  forallb (fun j => Nat.eqb j largest || below (logit_of j) (logit_of largest)) (seq 0 (zO M)).
Definition correct_by (margin : Z) : bool :=
  correct && forallb (fun j => Nat.eqb j largest || at_most (logit_of j + IZR margin / IZR (2 ^ 20)) (logit_of largest)) (seq 0 (zO M)).
End Tokens.

(** ** How many: the inputs are all lists of n tokens; an input weighs the product of its tokens' weights *)
Fixpoint all_inputs (length : nat) : list (list nat) :=
  match length with O => [[]] | S j => flat_map (fun t => map (cons t) (all_inputs j)) (seq 0 (zV M)) end.
Definition how_many (P : list nat -> bool) : nat := length (filter P (all_inputs n)).
Fixpoint weighs (scope : nat -> nat -> Z) (i : nat) (tokens : list nat) : Z :=
  match tokens with [] => 1 | t :: rest => scope i t * weighs scope (S i) rest end.
Definition weight_of (scope : nat -> nat -> Z) (P : list nat -> bool) : Z :=
  fold_right Z.add 0%Z (map (weighs scope 0) (filter P (all_inputs n))).

(** ** Proof: these words are those of the proof *)
Lemma all_inputs_eq length : all_inputs length = inputs (zV M) length.
Proof. induction length; simpl; [reflexivity|]. rewrite IHlength. reflexivity. Qed.
(** SPEC-5.3 *)
Lemma weight_of_mass scope P : weight_of scope P = mass scope (zV M) n P.
Proof.
  unfold weight_of, mass, massi. rewrite all_inputs_eq. generalize (inputs (zV M) n). intros l. induction l as [|ts l IH]; simpl; [reflexivity|].
  assert (E : forall s i ts, weighs s i ts = wt s i ts) by (intros s i ts0; revert i; induction ts0; intros i; simpl; [reflexivity|]; rewrite IHts0; reflexivity).
  destruct (P ts); simpl; rewrite IH, ?E; reflexivity.
Qed.
(** SPEC-4.4 *)
Lemma logit_same tokens j : logit_of tokens j = logit (net_of M) (tok tokens) j.
Proof.
  unfold logit, final, Semantics.mixed, attn, Semantics.score, Semantics.query, Semantics.value, Semantics.key, resid.
  replace (n_ctx (net_of M) - 1)%nat with (zk M) by (simpl; lia). reflexivity.
Qed.
Lemma good_correct_by tokens margin : good (net_of M) (zO M) (maxl tokens) (Some margin) tokens = true -> correct_by tokens margin = true.
Proof.
  intros H. pose proof (proj1 (good_spec _ _ _ _ _) H) as G. clear H. unfold correct_by, correct. change (largest tokens) with (maxl tokens). apply andb_true_intro.
  pose proof (p2_pos 20 ltac:(lia)) as P20. change (IZR (2 ^ 20)) with (p2 20).
  split; apply forallb_forall; intros j I; apply in_seq in I; destruct (Nat.eqb_spec j (maxl tokens)) as [|Hj]; try reflexivity; destruct (G j ltac:(lia) Hj) as [A B];
    unfold gap in A, B; rewrite <- !logit_same in A, B; simpl.
  - unfold below. destruct (Rlt_dec _ _); [reflexivity|lra].
  - unfold at_most. destruct (Rle_dec _ _) as [|N]; [reflexivity|]. exfalso. apply N. simpl in B.
    assert (IZR margin / p2 20 <= logit_of tokens (maxl tokens) - logit_of tokens j); [|lra].
    apply Rmult_le_reg_r with (p2 20); [exact P20|]. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.
(** SPEC-5.2 *)
Lemma correct_not_wrong tokens : correct tokens = true -> negb (wrong (net_of M) (zO M) (maxl tokens) tokens) = true.
Proof.
  intros H. apply negb_true_iff. apply not_true_iff_false. intros Wr. apply wrong_spec in Wr as (j & Hj & Hm & G).
  unfold correct in H. rewrite forallb_forall in H. specialize (H j ltac:(apply in_seq; lia)). change (largest tokens) with (maxl tokens) in H.
  destruct (Nat.eqb_spec j (maxl tokens)); [contradiction|]. simpl in H. unfold below in H. destruct (Rlt_dec _ _) as [L|]; [|discriminate].
  rewrite !logit_same in L. unfold gap in G. lra.
Qed.
End Page.

(** ** The theorem.  SPEC-7, SPEC-5.4, SPEC-5.6 *)
Theorem verified M scope certificate lower upper margin :
  check M scope certificate = Some (lower, upper, margin) ->
  (lower <= weight_of M scope (fun tokens => correct_by M tokens margin))%Z /\
  (weight_of M scope (correct M) <= upper)%Z /\ (0 <= margin)%Z.
Proof.
  intros H. pose proof (check_sound M scope certificate lower upper margin H) as (A & B & C). cbv zeta in A, B. rewrite !weight_of_mass.
  assert (HW : forall i t, (i < n M)%nat -> (t < zV M)%nat -> (0 <= scope i t)%Z).
  { clear A B C. intros i t Hi Ht. unfold check in H. cbv zeta in H. destruct (_ && _)%bool eqn:G in H; [|discriminate].
    apply andb_prop in G as [G _]. apply andb_prop in G as [_ G]. rewrite forallb_forall in G. specialize (G i ltac:(apply in_seq; unfold n in Hi; lia)). rewrite forallb_forall in G.
    apply Z.leb_le, G, in_seq. lia. }
  assert (Le : forall P Q, (forall ts, P ts = true -> Q ts = true) -> (mass scope (zV M) (n M) P <= mass scope (zV M) (n M) Q)%Z).
  { intros P Q I. set (W := fun i t => Z.max 0 (scope i t)).
    assert (E : forall R0, mass scope (zV M) (n M) R0 = mass W (zV M) (n M) R0) by (intros; apply mass_scope; intros; unfold W; specialize (HW i t ltac:(assumption) ltac:(assumption)); lia).
    rewrite !E. apply massi_le; [intros; unfold W; lia|]. intros ts _. apply I. }
  split; [|split; [|exact C]].
  - apply Z.le_trans with (1 := A). apply Le. intros ts. apply good_correct_by.
  - refine (Z.le_trans _ _ _ _ B). apply Le. intros ts. apply correct_not_wrong.
Qed.

Theorem verified_uniform M scope certificate lower upper margin :
  (forall i t, (i < n M)%nat -> (t < zV M)%nat -> scope i t = 1%Z) ->
  check M scope certificate = Some (lower, upper, margin) ->
  (lower <= Z.of_nat (how_many M (correct M)) <= upper)%Z.
Proof.
  intros H1 H. destruct (verified M scope certificate lower upper margin H) as (A & B & _).
  assert (One : forall P, weight_of M scope P = Z.of_nat (how_many M P)).
  { intros P. rewrite weight_of_mass. rewrite (mass_scope scope (fun _ _ => 1%Z)) by exact H1. unfold mass, massi, how_many. rewrite all_inputs_eq.
    assert (W1 : forall i ts, wt (fun _ _ => 1%Z) i ts = 1%Z) by (intros i ts; revert i; induction ts; intros i; simpl; [reflexivity|]; rewrite IHts; reflexivity).
    induction (inputs (zV M) (n M)) as [|ts l IH]; simpl; [reflexivity|]. destruct (P ts); simpl length; rewrite ?W1, IH; lia. }
  rewrite <- !One. split; [|exact B]. apply Z.le_trans with (1 := A). rewrite !One. apply Nat2Z.inj_le. unfold how_many.
  induction (all_inputs M (n M)) as [|ts l IH]; simpl; [lia|]. unfold correct_by at 1. destruct (correct M ts); simpl; [destruct (forallb _ _); simpl; lia|exact IH].
Qed.
