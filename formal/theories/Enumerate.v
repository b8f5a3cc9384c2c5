(** SPEC-7.8: tuples of blocks, enumerated; the weight of the inputs that may fail, and of those that do. *)
Require Import Lia ZArith Arith List Bool.
From Certify Require Import Sums Paths Inputs Terms Extreme.
Import ListNotations.
Open Scope Z_scope.

(** ** The program *)
Definition look (b : nat) (row : list (nat * Z)) : option Z :=
  fold_right (fun e a => if Nat.eqb (fst e) b then omax (Some (snd e)) a else a) None row.

(** Partial sums of the answers, one place on; those that cannot reach zero any more are dropped. *)
Fixpoint step (st tr : list (option Z)) (rest : list Z) : list (option Z) :=
  match st, tr, rest with
  | s :: st', t :: tr', r :: rest' =>
      match s, t with
      | Some x, Some y => let z := x + y in if z + r <? 0 then None else Some z
      | _, _ => None
      end :: step st' tr' rest'
  | _, _, _ => []
  end.
Definition alive (st : list (option Z)) : bool := existsb (fun s => match s with Some _ => true | None => false end) st.

Section Enum.
Variables (blks : nat -> list nat) (mult : nat -> nat -> Z) (holds : nat -> nat -> bool)
          (terms : nat -> nat -> list (option Z)) (rests : nat -> list Z) (verdict : list nat -> Z * Z).
Fixpoint enum (n i : nat) (st : list (option Z)) (held : bool) (path : list nat) : Z * Z :=
  match n with
  | O => if held && existsb (fun s => match s with Some x => 0 <=? x | None => false end) st then verdict (rev path) else (0, 0)
  | S n' =>
      let found := map (fun b =>
        let st' := step st (terms i b) (rests i) in
        if alive st' then
          let r := enum n' (S i) st' (held || holds i b) (b :: path) in
          let w := mult i b in (w * fst r, w * snd r)
        else (0, 0)) (blks i) in
      (lsum fst found, lsum snd found)
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

Lemma step_nth st : forall tr rs a x y r, nth_error st a = Some (Some x) -> nth_error tr a = Some (Some y) -> nth_error rs a = Some r ->
  0 <= x + y + r -> nth_error (step st tr rs) a = Some (Some (x + y)).
Proof.
  induction st as [|s st IH]; intros tr rs [|a] x y r Hs Ht Hr H; try discriminate; destruct tr as [|t tr], rs as [|r' rs]; try discriminate; simpl in *.
  - injection Hs as ->. injection Ht as ->. injection Hr as ->. destruct (Z.ltb_spec (x + y + r) 0); [lia|reflexivity].
  - eapply IH; eauto.
Qed.
Lemma alive_nth st a x : nth_error st a = Some (Some x) -> alive st = true.
Proof. intros H. apply existsb_exists. exists (Some x). split; [eapply nth_error_In; eauto|reflexivity]. Qed.

Section Sound.
Variables (W : nat -> nat -> Z) (V k : nat).
Hypothesis HW : forall i t, 0 <= W i t.
Variables (bk : nat -> nat) (toks : nat -> nat -> list nat).
Variables (blks : nat -> list nat) (holds : nat -> nat -> bool) (terms : nat -> nat -> list (option Z))
          (rests : nat -> list Z) (verdict : list nat -> Z * Z).
Definition mult i b := lsum (W i) (toks i b).
Notation enum := (enum blks mult holds terms rests verdict).

Section Upper.
Hypothesis toks_bk : forall i b t, In b (blks i) -> In t (toks i b) -> bk t = b.
(** The rest of the largest terms bounds what is still to come. *)
Variable rest : nat -> nat -> Z.
Hypothesis rests_rest : forall i a x, nth_error (rests i) a = Some x -> x = rest i a.
Hypothesis rest_last : forall a, rest k a = 0.
Hypothesis rest_step : forall i a b y, (i < k)%nat -> In b (blks (S i)) -> nth_error (terms (S i) b) a = Some (Some y) -> y + rest (S i) a <= rest i a.
Hypothesis rests_there : forall i b a y, (i <= k)%nat -> nth_error (terms i b) a = Some (Some y) -> exists r, nth_error (rests i) a = Some r.

Fixpoint possible (i a : nat) (u : Z) (held : bool) (path s : list nat) : Prop :=
  match s with
  | [] => 0 <= u /\ held = true /\ 1 <= snd (verdict (rev path))
  | t :: s' => In (bk t) (blks i) /\ In t (toks i (bk t)) /\
      exists y, nth_error (terms i (bk t)) a = Some (Some y) /\ possible (S i) a (u + y) (held || holds i (bk t)) (bk t :: path) s'
  end.

Lemma possible_intro a y s : forall i u held path,
  (forall p, (p < length s)%nat -> In (bk (nth p s 0%nat)) (blks (i + p)) /\ In (nth p s 0%nat) (toks (i + p) (bk (nth p s 0%nat))) /\
     nth_error (terms (i + p) (bk (nth p s 0%nat))) a = Some (Some (y (i + p)%nat))) ->
  0 <= u + Zsum (length s) (fun p => y (i + p)%nat) ->
  (held = true \/ exists p, (p < length s)%nat /\ holds (i + p) (bk (nth p s 0%nat)) = true) ->
  1 <= snd (verdict (rev path ++ map bk s)) -> possible i a u held path s.
Proof.
  induction s as [|t s IH]; intros i u held path Hp Hu Hh Hv; simpl.
  - simpl in Hu, Hv. rewrite app_nil_r in Hv. repeat split; [lia| |exact Hv]. destruct Hh as [|(p & Hp' & _)]; [assumption|simpl in Hp'; lia].
  - destruct (Hp 0%nat ltac:(simpl; lia)) as (A & B & C). rewrite Nat.add_0_r in A, B, C. cbn [nth] in A, B, C. split; [exact A|]. split; [exact B|]. exists (y i). split; [exact C|].
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
Lemma possible_rest s : forall i a u held path, (S i + length s = S k)%nat -> possible (S i) a u held path s -> 0 <= u + rest i a.
Proof.
  induction s as [|t s IH]; intros i a u held path L H; simpl in *.
  - replace i with k by lia. rewrite rest_last. lia.
  - destruct H as (I & _ & y & Ey & H). apply IH in H; [|lia]. pose proof (rest_step i a _ y ltac:(lia) I Ey). lia.
Qed.

Hypothesis toks_V : forall i b t, In b (blks i) -> In t (toks i b) -> (t < V)%nat.
Hypothesis verdict_nonneg : forall p, 0 <= snd (verdict p).

Lemma massi_pos i n F : massi W i V n F <> 0 -> exists s, ok V n s /\ F s = true.
Proof.
  intros H. destruct (existsb F (inputs V n)) eqn:Ex.
  - apply existsb_exists in Ex as (s & I & E). apply in_inputs in I. eauto.
  - exfalso. apply H. apply massi_false. intros s O. apply in_inputs in O. destruct (F s) eqn:E; [|reflexivity].
    assert (existsb F (inputs V n) = true) by (apply existsb_exists; eauto). congruence.
Qed.

(** SPEC-7.8 *)
Theorem enum_upper n : forall i st held path (F : list nat -> bool), (i + n = S k)%nat ->
  (forall s, ok V n s -> F s = true -> exists a u, nth_error st a = Some (Some u) /\ possible i a u held path s) ->
  massi W i V n F <= snd (enum n i st held path).
Proof.
  induction n as [|n IH]; intros i st held path F Hn H.
  - rewrite massi_O. simpl. destruct (F []) eqn:E.
    + destruct (H [] (conj eq_refl (fun t (I : In t []) => match I with end)) E) as (a & u & Ha & Hu & -> & Hv).
      replace (existsb _ st) with true; [simpl; exact Hv|]. symmetry. apply existsb_exists. exists (Some u). split; [eapply nth_error_In; eauto|]. apply Z.leb_le. exact Hu.
    + destruct (held && existsb _ st); [apply verdict_nonneg|simpl; lia].
  - rewrite massi_S. set (X := fun t => massi W (S i) V n (fun ts => F (t :: ts))). change (lsum (fun t => W i t * X t) (seq 0 V) <= snd (enum (S n) i st held path)).
    assert (Cons : forall t s, (t < V)%nat -> ok V n s -> ok V (S n) (t :: s)).
    { intros t s Ht [L B]. split; [simpl; lia|]. intros x [<-|I]; auto. }
    apply Z.le_trans with (lsum (fun t => W i t * X t) (flat_map (toks i) (blks i))).
    { apply lsum_incl; [|apply seq_NoDup|].
      - intros t. apply Z.mul_nonneg_nonneg; [apply HW|apply massi_nonneg, HW].
      - intros t It P. apply in_seq in It. destruct (massi_pos (S i) n (fun ts => F (t :: ts))) as (s & O & Fs); [fold (X t); nia|].
        destruct (H (t :: s) (Cons t s ltac:(lia) O) Fs) as (a & u & _ & Ib & Itk & _). apply in_flat_map. eauto. }
    rewrite lsum_flat_map. cbn [Enumerate.enum snd]. rewrite lsum_map. apply lsum_le. intros b Ib.
    assert (Next : forall t s, In t (toks i b) -> ok V n s -> F (t :: s) = true ->
      exists a u, nth_error (step st (terms i b) (rests i)) a = Some (Some u) /\ possible (S i) a u (held || holds i b) (b :: path) s).
    { intros t s It O Fs. destruct (H (t :: s) (Cons t s (toks_V i b t Ib It) O) Fs) as (a & u & Ha & _ & _ & y & Ey & Po).
      rewrite (toks_bk i b t Ib It) in Ey, Po. exists a, (u + y). split; [|exact Po].
      destruct (rests_there i b a y ltac:(lia) Ey) as (r & Er). apply (step_nth st _ _ a u y r Ha Ey Er).
      rewrite (rests_rest i a r Er). apply (possible_rest s i a (u + y) _ _) in Po; [exact Po|]. destruct O. lia. }
    destruct (alive (step st (terms i b) (rests i))) eqn:Al.
    + cbn [snd]. unfold mult. rewrite Z.mul_comm, <- lsum_scal. apply lsum_le. intros t It. rewrite Z.mul_comm.
      apply Z.mul_le_mono_nonneg_r; [apply HW|]. apply IH; [lia|]. intros s O Fs. exact (Next t s It O Fs).
    + cbn [snd]. rewrite lsum_zero; [lia|]. intros t It. replace (X t) with 0; [lia|]. symmetry. apply massi_false. intros s O.
      destruct (F (t :: s)) eqn:Fs; [|reflexivity]. destruct (Next t s It O Fs) as (a & u & Ha & _). apply alive_nth in Ha. congruence.
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
  - rewrite massi_O. simpl. destruct held; cbn [andb]; [|destruct (G []); simpl; lia]. destruct (existsb _ st); [|destruct (G []); simpl; lia].
    specialize (H [] eq_refl eq_refl). rewrite app_nil_r in H.
    pose proof (verdict_one (rev path)). destruct (G []); [lia|]. destruct (Z_lt_le_dec 0 (fst (verdict (rev path)))) as [L|L]; [specialize (H L); discriminate|lia].
  - rewrite massi_S. cbn [Enumerate.enum fst]. rewrite lsum_map.
    apply Z.le_trans with (lsum (fun t => W i t * massi W (S i) V n (fun ts => G (t :: ts))) (blks i)).
    + apply lsum_le. intros b Ib. pose proof (massi_nonneg W V HW (S i) n (fun ts => G (b :: ts))). pose proof (HW i b).
      destruct (alive _); cbn [fst]; [|apply Z.mul_nonneg_nonneg; assumption]. unfold mult. rewrite single by exact Ib. cbn [lsum]. rewrite Z.add_0_r.
      apply Z.mul_le_mono_nonneg_l; [assumption|]. apply IH. intros s L Wk Hv. apply H; [simpl; lia|split; [exact Ib|exact Wk]|].
      cbn [rev] in Hv. rewrite <- app_assoc in Hv. exact Hv.
    + apply lsum_incl; [|apply distinct|].
      * intros t. apply Z.mul_nonneg_nonneg; [apply HW|apply massi_nonneg, HW].
      * intros b Ib _. apply in_seq. specialize (blks_V i b Ib). lia.
Qed.
End Lower.
End Sound.
