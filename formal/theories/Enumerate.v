(** SPEC-7.8: tuples of blocks, enumerated; the weight of the inputs that may fail, and of those that do. *)
Require Import Lia ZArith Arith List Bool.
From Certify Require Import Sums Paths Inputs Terms Extreme.
Import ListNotations.
Open Scope Z_scope.

(** ** The program *)
Definition look (b : nat) (row : list (nat * Z)) : option Z :=
  fold_right (fun e a => if Nat.eqb (fst e) b then omax (Some (snd e)) a else a) None row.

(** An answer with which a tuple may still fail: per position and block its term less the largest there, never
    positive, and the largest sum that can still be reached. *)
Definition entry := ((nat -> nat -> option Z) * Z)%type.
Fixpoint step (i b : nat) (st : list entry) : list entry :=
  match st with
  | [] => []
  | e :: r => match fst e i b with
              | Some y => let z := snd e + y in if z <? 0 then step i b r else (fst e, z) :: step i b r
              | None => step i b r
              end
  end.

Section Enum.
Variables (blks : nat -> list nat) (mult : nat -> nat -> Z) (holds : nat -> nat -> bool) (late : nat -> bool) (verdict : list nat -> Z * Z).
(** From a late position on no block holds the maximum any more. *)
Definition next (i b : nat) (st : list entry) (held : bool) : list entry :=
  if late (S i) && negb (held || holds i b) then [] else step i b st.
Fixpoint enum (n i : nat) (st : list entry) (held : bool) (path : list nat) : Z * Z :=
  match n with
  | O => if held then match st with [] => (0, 0) | _ => verdict (rev path) end else (0, 0)
  | S n' =>
      fold_right (fun b acc =>
        match next i b st held with
        | [] => acc
        | st' => let r := enum n' (S i) st' (held || holds i b) (b :: path) in
                 let w := mult i b in (w * fst r + fst acc, w * snd r + snd acc)
        end) (0, 0) (blks i)
  end.
End Enum.

(** ** What it proves *)
Lemma look_ge b row x : In (b, x) row -> exists y, look b row = Some y /\ x <= y.
Proof.
  induction row as [|e row IH]; [intros []|]. intros [->|I]; simpl.
  - rewrite Nat.eqb_refl. destruct (look b row); simpl; eexists; split; try reflexivity; lia.
  - destruct (IH I) as (y & Ey & L). fold (look b row). rewrite Ey. destruct (Nat.eqb (fst e) b); simpl; eexists; split; try reflexivity; lia.
Qed.
Lemma look_in b row y : look b row = Some y -> In (b, y) row.
Proof.
  revert y. induction row as [|e row IH]; [discriminate|]. intros y. simpl. fold (look b row). destruct e as [c x]. cbn [fst snd].
  destruct (Nat.eqb_spec c b) as [->|]; [|auto]. destruct (look b row) as [z|]; simpl; intros [= <-].
  - destruct (Z.max_spec x z) as [[_ ->]|[_ ->]]; [right; auto|left; reflexivity].
  - left. reflexivity.
Qed.

Lemma step_in i b st d u y : In (d, u) st -> d i b = Some y -> 0 <= u + y -> In (d, u + y) (step i b st).
Proof.
  induction st as [|e st IH]; [intros []|]. intros [->|I] Hy Hu; cbn [step fst snd].
  - rewrite Hy. cbv zeta. destruct (Z.ltb_spec (u + y) 0); [lia|left; reflexivity].
  - specialize (IH I Hy Hu). destruct (fst e i b); [|exact IH]. cbv zeta. destruct (_ <? 0); [exact IH|right; exact IH].
Qed.

Section Sound.
Variables (W : nat -> nat -> Z) (V k : nat).
Hypothesis HW : forall i t, 0 <= W i t.
Variables (bk : nat -> nat) (toks : nat -> nat -> list nat).
Variables (blks : nat -> list nat) (holds : nat -> nat -> bool) (late : nat -> bool) (verdict : list nat -> Z * Z).
Definition mult i b := lsum (W i) (toks i b).
Notation enum := (enum blks mult holds late verdict).
Notation next := (next holds late).

(** The sums of a step, one block after the other. *)
Lemma fold_snd (f : nat -> list entry) (g : nat -> list entry -> Z * Z) w l :
  snd (fold_right (fun b acc => match f b with [] => acc | st' => let r := g b st' in let v := w b in (v * fst r + fst acc, v * snd r + snd acc) end) (0, 0) l)
  = lsum (fun b => match f b with [] => 0 | st' => w b * snd (g b st') end) l.
Proof. induction l as [|b l IH]; [reflexivity|]. cbn [fold_right lsum]. destruct (f b); [exact IH|]. cbn [snd]. rewrite <- IH. reflexivity. Qed.
Lemma fold_fst (f : nat -> list entry) (g : nat -> list entry -> Z * Z) w l :
  fst (fold_right (fun b acc => match f b with [] => acc | st' => let r := g b st' in let v := w b in (v * fst r + fst acc, v * snd r + snd acc) end) (0, 0) l)
  = lsum (fun b => match f b with [] => 0 | st' => w b * fst (g b st') end) l.
Proof. induction l as [|b l IH]; [reflexivity|]. cbn [fold_right lsum]. destruct (f b); [exact IH|]. cbn [fst]. rewrite <- IH. reflexivity. Qed.

Section Upper.
Hypothesis toks_bk : forall i b t, In b (blks i) -> In t (toks i b) -> bk t = b.
Hypothesis toks_V : forall i b t, In b (blks i) -> In t (toks i b) -> (t < V)%nat.
Hypothesis verdict_nonneg : forall p, 0 <= snd (verdict p).
Hypothesis late_holds : forall i p b, late i = true -> holds (i + p) b = false.

Fixpoint possible (i : nat) (d : nat -> nat -> option Z) (u : Z) (held : bool) (path s : list nat) : Prop :=
  match s with
  | [] => 0 <= u /\ held = true /\ 1 <= snd (verdict (rev path))
  | t :: s' => In (bk t) (blks i) /\ In t (toks i (bk t)) /\
      exists y, d i (bk t) = Some y /\ y <= 0 /\ possible (S i) d (u + y) (held || holds i (bk t)) (bk t :: path) s'
  end.
Lemma possible_nonneg d s : forall i u held path, possible i d u held path s -> 0 <= u.
Proof. induction s as [|t s IH]; intros i u held path H; simpl in H; [lia|]. destruct H as (_ & _ & y & _ & Hy & H). apply IH in H. lia. Qed.

Lemma possible_held d s : forall i u held path, possible i d u held path s -> held = true \/ exists p b, holds (i + p) b = true.
Proof.
  induction s as [|t s IH]; intros i u held path H; simpl in H; [left; apply H|]. destruct H as (_ & _ & y & _ & _ & H).
  apply IH in H as [H|(p & b & H)].
  - apply orb_prop in H as [H|H]; [left; exact H|right; exists 0%nat, (bk t); rewrite Nat.add_0_r; exact H].
  - right. exists (S p), b. replace (i + S p)%nat with (S i + p)%nat by lia. exact H.
Qed.

Lemma possible_intro d y s : forall i u held path,
  (forall p, (p < length s)%nat -> In (bk (nth p s 0%nat)) (blks (i + p)) /\ In (nth p s 0%nat) (toks (i + p) (bk (nth p s 0%nat))) /\
     d (i + p)%nat (bk (nth p s 0%nat)) = Some (y (i + p)%nat) /\ y (i + p)%nat <= 0) ->
  0 <= u + Zsum (length s) (fun p => y (i + p)%nat) ->
  (held = true \/ exists p, (p < length s)%nat /\ holds (i + p) (bk (nth p s 0%nat)) = true) ->
  1 <= snd (verdict (rev path ++ map bk s)) -> possible i d u held path s.
Proof.
  induction s as [|t s IH]; intros i u held path Hp Hu Hh Hv; simpl.
  - simpl in Hu, Hv. rewrite app_nil_r in Hv. repeat split; [lia| |exact Hv]. destruct Hh as [|(p & Hp' & _)]; [assumption|simpl in Hp'; lia].
  - destruct (Hp 0%nat ltac:(simpl; lia)) as (A & B & C & D). rewrite Nat.add_0_r in A, B, C, D. cbn [nth] in A, B, C. split; [exact A|]. split; [exact B|]. exists (y i). split; [exact C|]. split; [exact D|].
    apply IH.
    + intros p L. specialize (Hp (S p) ltac:(simpl; lia)). replace (i + S p)%nat with (S i + p)%nat in Hp by lia. exact Hp.
    + assert (Sh : forall n (f : nat -> Z), Zsum (S n) f = f 0%nat + Zsum n (fun p => f (S p))).
      { induction n; intros f; [simpl; lia|]. cbn [Zsum]. cbn [Zsum] in IHn. rewrite IHn. lia. }
      cbn [length] in Hu. rewrite Sh, Nat.add_0_r in Hu. rewrite (Zsum_ext _ _ (fun p => y (i + S p)%nat)) by (intros; f_equal; lia). lia.
    + destruct Hh as [->|(p & Hp' & E)]; [left; reflexivity|]. destruct p as [|p].
      * rewrite Nat.add_0_r in E. cbn [nth] in E. rewrite E, orb_true_r. left. reflexivity.
      * right. exists p. split; [simpl in Hp'; lia|]. replace (i + S p)%nat with (S i + p)%nat in E by lia. exact E.
    + cbn [rev]. rewrite <- app_assoc. exact Hv.
Qed.

Lemma massi_pos i n F : massi W i V n F <> 0 -> exists s, ok V n s /\ F s = true.
Proof.
  intros H. destruct (existsb F (inputs V n)) eqn:Ex.
  - apply existsb_exists in Ex as (s & I & E). apply in_inputs in I. eauto.
  - exfalso. apply H. apply massi_false. intros s O. apply in_inputs in O. destruct (F s) eqn:E; [|reflexivity].
    assert (existsb F (inputs V n) = true) by (apply existsb_exists; eauto). congruence.
Qed.

(** SPEC-7.8 *)
Theorem enum_upper n : forall i st held path (F : list nat -> bool),
  (forall s, ok V n s -> F s = true -> exists d u, In (d, u) st /\ possible i d u held path s) ->
  massi W i V n F <= snd (enum n i st held path).
Proof.
  induction n as [|n IH]; intros i st held path F H.
  - rewrite massi_O. cbn [Enumerate.enum]. destruct (F []) eqn:E.
    + destruct (H [] (conj eq_refl (fun t (I : In t []) => match I with end)) E) as (d & u & Hd & Hu & -> & Hv). destruct st; [destruct Hd|exact Hv].
    + destruct held; [destruct st; [simpl; lia|apply verdict_nonneg]|simpl; lia].
  - rewrite massi_S. set (X := fun t => massi W (S i) V n (fun ts => F (t :: ts))). change (lsum (fun t => W i t * X t) (seq 0 V) <= snd (enum (S n) i st held path)).
    assert (Cons : forall t s, (t < V)%nat -> ok V n s -> ok V (S n) (t :: s)).
    { intros t s Ht [L B]. split; [simpl; lia|]. intros x [<-|I]; auto. }
    apply Z.le_trans with (lsum (fun t => W i t * X t) (flat_map (toks i) (blks i))).
    { apply lsum_incl; [|apply seq_NoDup|].
      - intros t. apply Z.mul_nonneg_nonneg; [apply HW|apply massi_nonneg, HW].
      - intros t It P. apply in_seq in It. destruct (massi_pos (S i) n (fun ts => F (t :: ts))) as (s & O & Fs); [fold (X t); nia|].
        destruct (H (t :: s) (Cons t s ltac:(lia) O) Fs) as (d & u & _ & Ib & Itk & _). apply in_flat_map. eauto. }
    rewrite lsum_flat_map. cbn [Enumerate.enum]. rewrite (fold_snd (fun b => next i b st held) (fun b st' => enum n (S i) st' (held || holds i b) (b :: path)) (mult i)).
    apply lsum_le. intros b Ib.
    assert (Next : forall t s, In t (toks i b) -> ok V n s -> F (t :: s) = true ->
      exists d u, In (d, u) (next i b st held) /\ possible (S i) d u (held || holds i b) (b :: path) s).
    { intros t s It O Fs. destruct (H (t :: s) (Cons t s (toks_V i b t Ib It) O) Fs) as (d & u & Hd & _ & _ & y & Ey & _ & Po).
      rewrite (toks_bk i b t Ib It) in Ey, Po. exists d, (u + y). split; [|exact Po].
      unfold Enumerate.next. destruct (late (S i) && negb (held || holds i b)) eqn:El.
      { exfalso. apply andb_prop in El as [El Nh]. apply negb_true_iff in Nh. apply possible_held in Po as [Po|(p & b' & Po)]; [congruence|]. rewrite (late_holds (S i) p b' El) in Po. discriminate. }
      apply step_in; [exact Hd|exact Ey|]. exact (possible_nonneg d s _ _ _ _ Po). }
    destruct (next i b st held) as [|e st'] eqn:Al.
    + rewrite lsum_zero; [lia|]. intros t It. replace (X t) with 0; [lia|]. symmetry. apply massi_false. intros s O.
      destruct (F (t :: s)) eqn:Fs; [|reflexivity]. destruct (Next t s It O Fs) as (d & u & [] & _).
    + unfold mult at 1. rewrite Z.mul_comm, <- lsum_scal. apply lsum_le. intros t It. rewrite Z.mul_comm.
      apply Z.mul_le_mono_nonneg_r; [apply HW|]. apply IH. intros s O Fs. exact (Next t s It O Fs).
Qed.
End Upper.

Section Lower.
Hypothesis single : forall i b, In b (blks i) -> toks i b = [b].
Hypothesis distinct : forall i, NoDup (blks i).
Hypothesis blks_V : forall i b, In b (blks i) -> (b < V)%nat.
Hypothesis verdict_one : forall p, fst (verdict p) <= 1.

Fixpoint walk (i : nat) (held : bool) (s : list nat) : Prop :=
  match s with [] => held = true | t :: s' => In t (blks i) /\ walk (S i) (held || holds i t) s' end.

(** SPEC-7.8 *)
Theorem enum_lower n : forall i st held path (G : list nat -> bool),
  (forall s, length s = n -> walk i held s -> 0 < fst (verdict (rev path ++ s)) -> G s = true) ->
  fst (enum n i st held path) <= massi W i V n G.
Proof.
  induction n as [|n IH]; intros i st held path G H.
  - rewrite massi_O. cbn [Enumerate.enum]. destruct held; [|destruct (G []); simpl; lia]. destruct st; [destruct (G []); simpl; lia|].
    specialize (H [] eq_refl eq_refl). rewrite app_nil_r in H.
    pose proof (verdict_one (rev path)). destruct (G []); [lia|]. destruct (Z_lt_le_dec 0 (fst (verdict (rev path)))) as [L|L]; [specialize (H L); discriminate|lia].
  - rewrite massi_S. cbn [Enumerate.enum]. rewrite (fold_fst (fun b => next i b st held) (fun b st' => enum n (S i) st' (held || holds i b) (b :: path)) (mult i)).
    apply Z.le_trans with (lsum (fun t => W i t * massi W (S i) V n (fun ts => G (t :: ts))) (blks i)).
    + apply lsum_le. intros b Ib. pose proof (massi_nonneg W V HW (S i) n (fun ts => G (b :: ts))). pose proof (HW i b).
      destruct (next i b st held); [apply Z.mul_nonneg_nonneg; assumption|]. unfold mult at 1. rewrite single by exact Ib. cbn [lsum]. rewrite Z.add_0_r.
      apply Z.mul_le_mono_nonneg_l; [assumption|]. apply IH. intros s L Wk Hv. apply H; [simpl; lia|split; [exact Ib|exact Wk]|].
      cbn [rev] in Hv. rewrite <- app_assoc in Hv. exact Hv.
    + apply lsum_incl; [|apply distinct|].
      * intros t. apply Z.mul_nonneg_nonneg; [apply HW|apply massi_nonneg, HW].
      * intros b Ib _. apply in_seq. specialize (blks_V i b Ib). lia.
Qed.
End Lower.
End Sound.
