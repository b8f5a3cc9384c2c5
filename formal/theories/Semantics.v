(** SPEC-4.4: a one-layer, one-head, attention-only transformer in real arithmetic, and Lemma 4.4. *)
Require Import Reals Lra Lia List.
From Certify Require Import Sums.
Open Scope R_scope.

Record net := Net {
  n_ctx : nat; d_vocab : nat; d_out : nat; d_model : nat; d_head : nat;
  WE : nat -> nat -> R; Wpos : nat -> nat -> R;
  WQ : nat -> nat -> R; WK : nat -> nat -> R; WV : nat -> nat -> R; WO : nat -> nat -> R; WU : nat -> nat -> R;
  bQ : nat -> R; bK : nat -> R; bV : nat -> R; bO : nat -> R; bU : nat -> R }.

Section Net.
Variable M : net.
Notation n := (n_ctx M). Notation dm := (d_model M). Notation dh := (d_head M).

(** ** The program: what the network computes of the tokens [t 0 .. t (n-1)]. *)
Section Input.
Variable t : nat -> nat.
Definition resid i d := WE M (t i) d + Wpos M i d.
Definition query h := Rsum dm (fun d => resid (n - 1) d * WQ M d h) + bQ M h.
Definition key i h := Rsum dm (fun d => resid i d * WK M d h) + bK M h.
Definition value i h := Rsum dm (fun d => resid i d * WV M d h) + bV M h.
Definition score i := Rsum dh (fun h => query h * key i h) / sqrt (INR dh).
Definition attn i := exp (score i) / Rsum n (fun k => exp (score k)).
Definition mixed h := Rsum n (fun i => attn i * value i h).
Definition final d := resid (n - 1) d + (Rsum dh (fun h => mixed h * WO M h d) + bO M d).
Definition logit j := Rsum dm (fun d => final d * WU M d j) + bU M j.
End Input.

(** ** Paths *)
Definition qrow q d := WE M q d + Wpos M (n - 1) d.
Definition qvec q h := Rsum dm (fun d => qrow q d * WQ M d h) + bQ M h.
Definition WOU h j := Rsum dm (fun d => WO M h d * WU M d j).
Definition EQKE q t := Rsum dh (fun h => qvec q h * Rsum dm (fun d => WE M t d * WK M d h)).
Definition EQKP q i := Rsum dh (fun h => qvec q h * Rsum dm (fun d => Wpos M i d * WK M d h)).
Definition EVOU t j := Rsum dh (fun h => Rsum dm (fun d => WE M t d * WV M d h) * WOU h j).
Definition PVOU i j := Rsum dh (fun h => Rsum dm (fun d => Wpos M i d * WV M d h) * WOU h j).
Definition EU q j := Rsum dm (fun d => qrow q d * WU M d j) + Rsum dh (fun h => bV M h * WOU h j)
                   + Rsum dm (fun d => bO M d * WU M d j) + bU M j.

Definition weight q t i := exp ((EQKE q t + EQKP q i) / sqrt (INR dh)).
Definition bracket q i t j m := EVOU t j - EVOU t m + (PVOU i j - PVOU i m) + (EU q j - EU q m).

Section Lemma44.
Variable t : nat -> nat.
Hypothesis n_pos : (0 < n)%nat.
Notation q := (t (n - 1)).

Lemma score_paths i : score t i = (EQKE q (t i) + EQKP q i + Rsum dh (fun h => qvec q h * bK M h)) / sqrt (INR dh).
Proof.
  unfold score, EQKE, EQKP. f_equal. rewrite <- !Rsum_plus. apply Rsum_ext. intros h _.
  change (query t h) with (qvec q h). unfold key, resid.
  rewrite (Rsum_ext dm _ (fun d => WE M (t i) d * WK M d h + Wpos M i d * WK M d h)) by (intros; ring).
  rewrite Rsum_plus. ring.
Qed.

Lemma attn_weight i : attn t i = weight q (t i) i / Rsum n (fun k => weight q (t k) k).
Proof.
  set (c := exp (Rsum dh (fun h => qvec q h * bK M h) / sqrt (INR dh))).
  assert (E : forall k, exp (score t k) = weight q (t k) k * c).
  { intros k. unfold weight, c. rewrite <- exp_plus, score_paths. f_equal. unfold Rdiv. ring. }
  unfold attn. rewrite E, (Rsum_ext n _ (fun k => weight q (t k) k * c)) by (intros; apply E).
  rewrite Rsum_scal_r. field. split.
  - apply Rgt_not_eq, Rsum_pos; [exact n_pos|]. intros; apply exp_pos.
  - apply Rgt_not_eq, exp_pos.
Qed.

Lemma weights_pos : 0 < Rsum n (fun k => weight q (t k) k).
Proof. apply Rsum_pos; [exact n_pos|]. intros; apply exp_pos. Qed.

Lemma attn_sum : Rsum n (attn t) = 1.
Proof.
  rewrite (Rsum_ext n _ (fun i => weight q (t i) i * / Rsum n (fun k => weight q (t k) k))).
  - rewrite Rsum_scal_r. apply Rinv_r. apply Rgt_not_eq, weights_pos.
  - intros i _. rewrite attn_weight. reflexivity.
Qed.

Lemma value_paths i j : Rsum dh (fun h => value t i h * WOU h j)
  = EVOU (t i) j + PVOU i j + Rsum dh (fun h => bV M h * WOU h j).
Proof.
  unfold EVOU, PVOU. rewrite <- !Rsum_plus. apply Rsum_ext. intros h _. unfold value, resid.
  rewrite (Rsum_ext dm _ (fun d => WE M (t i) d * WV M d h + Wpos M i d * WV M d h)) by (intros; ring).
  rewrite Rsum_plus. ring.
Qed.

Lemma logit_paths j : logit t j = EU q j + Rsum n (fun i => attn t i * (EVOU (t i) j + PVOU i j)).
Proof.
  unfold logit, final.
  rewrite (Rsum_ext dm _ (fun d => qrow q d * WU M d j + (Rsum dh (fun h => mixed t h * WO M h d * WU M d j) + bO M d * WU M d j))).
  2:{ intros d _. rewrite Rsum_scal_r. unfold resid, qrow. ring. }
  rewrite !Rsum_plus, Rsum_swap.
  rewrite (Rsum_ext dh _ (fun h => mixed t h * WOU h j)).
  2:{ intros h _. unfold WOU. rewrite <- Rsum_scal_l. apply Rsum_ext. intros; ring. }
  rewrite (Rsum_ext dh (fun h => mixed t h * WOU h j) (fun h => Rsum n (fun i => attn t i * (value t i h * WOU h j)))).
  2:{ intros h _. unfold mixed. rewrite <- Rsum_scal_r. apply Rsum_ext. intros; ring. }
  rewrite Rsum_swap.
  rewrite (Rsum_ext n _ (fun i => attn t i * (EVOU (t i) j + PVOU i j) + attn t i * Rsum dh (fun h => bV M h * WOU h j))).
  2:{ intros i _. rewrite Rsum_scal_l, value_paths. ring. }
  rewrite Rsum_plus, Rsum_scal_r, attn_sum. unfold EU. ring.
Qed.

(** SPEC-4.4. Lemma 4.4 (separable identity). *)
Theorem lemma_4_4 j m :
  (logit t j - logit t m) * Rsum n (fun i => weight q (t i) i)
  = Rsum n (fun i => weight q (t i) i * bracket q i (t i) j m).
Proof.
  rewrite !logit_paths. set (S := Rsum n (fun i => weight q (t i) i)).
  assert (HS : S <> 0) by apply Rgt_not_eq, weights_pos.
  assert (A : forall j, Rsum n (fun i => attn t i * (EVOU (t i) j + PVOU i j)) * S
                        = Rsum n (fun i => weight q (t i) i * (EVOU (t i) j + PVOU i j))).
  { intros j'. rewrite <- Rsum_scal_r. apply Rsum_ext. intros i _. rewrite attn_weight. fold S. field. exact HS. }
  transitivity (Rsum n (fun i => attn t i * (EVOU (t i) j + PVOU i j)) * S
              - Rsum n (fun i => attn t i * (EVOU (t i) m + PVOU i m)) * S + (EU q j - EU q m) * S); [ring|].
  rewrite !A. unfold S. rewrite <- Rsum_minus, <- Rsum_scal_l, <- Rsum_plus.
  apply Rsum_ext. intros i _. unfold bracket. ring.
Qed.
End Lemma44.
End Net.
