(** SPEC-7.6 to SPEC-7.8 and SPEC-7.12 for one cell: answers that are left, margins, and enumerations. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme Screen Enumerate Tie.
Import ListNotations.
Open Scope R_scope.

(** ** Margins, in units of 2^-20 logits; none stands for "of nothing" *)
Definition margin_of (vs v : Z) : Z := shr (shl v 20) vs.
Definition omin (a b : option Z) : option Z :=
  match a, b with Some x, Some y => Some (Z.min x y) | Some x, None => Some x | None, y => y end.
Definition at_least (g : option Z) (x : R) : Prop := match g with None => False | Some g => IZR g <= x * p2 20 end.
Lemma at_least_l a b x : at_least a x -> at_least (omin a b) x.
Proof.
  destruct a as [y|], b as [z|]; simpl; try tauto. intros H. apply Rle_trans with (2 := H). apply IZR_le. lia.
Qed.
Lemma at_least_r a b x : at_least b x -> at_least (omin a b) x.
Proof.
  destruct a as [y|], b as [z|]; simpl; try tauto. intros H. apply Rle_trans with (2 := H). apply IZR_le. lia.
Qed.
(** SPEC-7.4, SPEC-7.6 *)
Lemma margin_of_sound vs v x : (0 <= vs)%Z -> IZR v <= x * p2 vs -> IZR (margin_of vs v) <= x * p2 20.
Proof.
  intros Hv H. unfold margin_of. destruct (shr_spec (shl v 20) vs Hv) as [A _]. rewrite shl_spec in A by lia.
  pose proof (p2_pos vs Hv). pose proof (p2_pos 20 ltac:(lia)). apply Rmult_le_reg_r with (p2 vs); [assumption|].
  apply Rle_trans with (1 := A). replace (x * p2 20 * p2 vs) with (x * p2 vs * p2 20) by ring. apply Rmult_le_compat_r; lra.
Qed.

(** ** What is to be shown of an input *)
Definition beaten (N : net) (E : env) (m : nat) (zmu : Z) (g : option Z) (j : nat) (ts : list nat) : Prop :=
  IZR zmu < gap N m j ts * p2 (evs E) /\ at_least g (gap N m j ts).
Definition at_leastb (g : option Z) (x : R) : bool :=
  match g with None => false | Some g => if Rle_dec (IZR g) (x * p2 20) then true else false end.
Definition good (N : net) (O m : nat) (g : option Z) (ts : list nat) : bool :=
  forallb (fun j => Nat.eqb j m || ((if Rlt_dec 0 (gap N m j ts) then true else false) && at_leastb g (gap N m j ts)))%bool (seq 0 O).
Definition wrong (N : net) (O m : nat) (ts : list nat) : bool :=
  existsb (fun j => negb (Nat.eqb j m) && (if Rle_dec (gap N m j ts) 0 then true else false))%bool (seq 0 O).

Lemma at_leastb_spec g x : at_leastb g x = true <-> at_least g x.
Proof. destruct g as [g|]; simpl; [|split; [discriminate|tauto]]. destruct (Rle_dec _ _); split; auto; discriminate. Qed.
Lemma good_spec N O m g ts : good N O m g ts = true <-> forall j, (j < O)%nat -> j <> m -> 0 < gap N m j ts /\ at_least g (gap N m j ts).
Proof.
  unfold good. rewrite forallb_forall. split.
  - intros H j Hj Hm. specialize (H j ltac:(apply in_seq; lia)). apply orb_prop in H as [H|H]; [apply Nat.eqb_eq in H; contradiction|].
    apply andb_prop in H as [A B]. apply at_leastb_spec in B. destruct (Rlt_dec _ _); [auto|discriminate].
  - intros H j I. apply in_seq in I. destruct (Nat.eqb_spec j m); [reflexivity|]. destruct (H j ltac:(lia) n) as [A B]. simpl.
    apply at_leastb_spec in B. rewrite B. destruct (Rlt_dec _ _); [reflexivity|contradiction].
Qed.
Lemma not_good N O m g ts : good N O m g ts = false -> exists j, (j < O)%nat /\ j <> m /\ ~ (0 < gap N m j ts /\ at_least g (gap N m j ts)).
Proof.
  intros H. assert (G : exists j, In j (seq 0 O) /\ (Nat.eqb j m || ((if Rlt_dec 0 (gap N m j ts) then true else false) && at_leastb g (gap N m j ts)))%bool = false).
  { unfold good in H. induction (seq 0 O) as [|j l IH]; [discriminate|]. simpl in H. apply andb_false_iff in H as [H|H]; [exists j; split; [left; reflexivity|exact H]|].
    destruct (IH H) as (i & I & Ei). exists i. split; [right; exact I|exact Ei]. }
  destruct G as (j & I & Ej). apply in_seq in I. apply orb_false_iff in Ej as [A B]. apply Nat.eqb_neq in A. exists j. repeat split; [lia|exact A|].
  intros [P Q]. apply at_leastb_spec in Q. rewrite Q in B. destruct (Rlt_dec _ _); [discriminate|contradiction].
Qed.
Lemma wrong_spec N O m ts : wrong N O m ts = true <-> exists j, (j < O)%nat /\ j <> m /\ gap N m j ts <= 0.
Proof.
  unfold wrong. rewrite existsb_exists. split.
  - intros (j & I & H). apply in_seq in I. apply andb_prop in H as [A B]. apply negb_true_iff, Nat.eqb_neq in A. destruct (Rle_dec _ _); [|discriminate]. exists j. repeat split; [lia|auto|auto].
  - intros (j & Hj & Hm & G). exists j. split; [apply in_seq; lia|]. apply Nat.eqb_neq in Hm. rewrite Hm. destruct (Rle_dec _ _); [reflexivity|contradiction].
Qed.

(** ** The program *)
Definition rows := nat -> list (nat * Z).
Definition left := (answer * rows)%type.

Section Program.
Variables (E : env) (W : nat -> nat -> Z).
Notation k := (ek E).

Definition allowed_of (F : frame) (r : rows) : nat -> Z :=
  memo (S k) (fun i => fold_right (fun e a => Z.lor (f_mask F (fst e)) a) 0%Z (r i)) 0%Z.
Definition test_one (F : frame) (zmu : Z) (a : answer) : list left * option Z :=
  let r := rows_of E upper_term F zmu (fst a) (snd a) in
  let t := tested k (pred (f_nb F)) (f_forced F) r in
  (match fst t with None => [] | Some r' => [((fst a, allowed_of F r'), r')] end,
   match snd t with None => None | Some s => Some (margin_of (evs E) (zmu + - s / f_heavy F)) end).
Definition extreme_test (F : frame) (zmu : Z) (answers : list answer) : list left * option Z :=
  let found := map (test_one F zmu) answers in
  (flat_map fst found, fold_right (fun s a => omin (snd s) a) None found).
(** Brute force removes nothing. *)
Definition untested (F : frame) (zmu : Z) (answers : list answer) : list left :=
  map (fun a => (a, rows_of E upper_term F zmu (fst a) (snd a))) answers.

Definition exact_cell (qs : list nat) (layout : list (list nat)) : bool :=
  Nat.eqb (length qs) 1 && forallb (fun b => Nat.eqb (length b) 1) layout.

Fixpoint path_sum (lk : nat -> nat -> option Z) (i : nat) (path : list nat) : option Z :=
  match path with
  | [] => Some 0%Z
  | b :: r => match lk i b, path_sum lk (S i) r with Some x, Some y => Some (x + y)%Z | _, _ => None end
  end.
Definition lower_table (nb : nat) (r : rows) : nat -> nat -> option Z :=
  memo (S k) (fun i => memo nb (fun b => look b (r i)) None) (fun _ => None).
Definition verdict_exact (m : nat) (zmu : Z) (answers : list nat) (lowers : list (nat -> nat -> option Z)) (path : list nat) : Z * Z :=
  if existsb (fun lk => match path_sum lk 0 path with Some s => (0 <=? s)%Z | None => false end) lowers then (1, 1)%Z
  else if (zmu =? 0)%Z then
    match is_wrong E m answers path with Some true => (1, 1)%Z | Some false => (0, 0)%Z | None => (0, 1)%Z end
  else (0, 1)%Z.

Definition tokens_at (F : frame) (i b : nat) : list nat :=
  if (i <? k)%nat then f_blk F b else filter (fun t => existsb (Nat.eqb t) (f_qs F)) (f_blk F b).
Definition entry_of (nb : nat) (r : rows) : entry :=
  let tp := memo (S k) (fun i => zmax snd (r i)) 0%Z in
  (memo (S k) (fun i => memo nb (fun b => match look b (r i) with Some x => Some (x - tp i)%Z | None => None end) None) (fun _ => None),
   Zsum (S k) tp).
Definition has_term (i b : nat) (st : list entry) : bool := existsb (fun e => match fst e i b with Some _ => true | None => false end) st.
Definition inhabited (l : list nat) : bool := match l with [] => false | _ => true end.
Definition all_tokens : nat -> Z := fun _ => (-1)%Z.
Definition enumerated (F : frame) (exact : bool) (zmu : Z) (ls : list left) : Z * Z :=
  let nb := f_nb F in
  let st := map (fun l : left => entry_of nb (snd l)) ls in
  let blks := memo (S k) (fun i => filter (fun b => has_term i b st && inhabited (tokens_at F i b))%bool (seq 0 nb)) [] in
  let mult := memo (S k) (fun i => memo nb (fun b => lsum (W i) (tokens_at F i b)) 0%Z) (fun _ => 0%Z) in
  let holds i b := ((i <? k)%nat && Nat.eqb b (pred nb))%bool in
  let answers := map (fun l => fst (fst l)) ls in
  let verdict := if exact then
      let lowers := map (fun l : left => lower_table nb (rows_of E lower_term F 0 (fst (fst l)) all_tokens)) ls in
      verdict_exact (f_m F) zmu answers lowers
    else fun _ => (0, 1)%Z in
  let r := enum blks mult holds (fun i => (k <=? i)%nat) verdict (S k) 0 st (negb (f_forced F)) [] in
  (if exact then fst r else 0%Z, snd r).
End Program.

(** ** What it proves *)
Section Sound.
Variables (N : net) (E : env) (W : nat -> nat -> Z).
Hypothesis HE : holds N E.
Hypothesis HW : forall i t, (0 <= W i t)%Z.
Notation T := (eT E). Notation k := (ek E). Notation V := (eV E). Notation P := (eP E). Notation O := (eO E).
Notation U := (p2 (evs E)).
Variables (m : nat) (qs : list nat) (layout : list (list nat)) (zmu : Z).
Hypothesis Hm : (m < V)%nat.
Hypothesis Hfits : fits m qs.
Hypothesis Hlay : concat layout = seq 0 m.
Hypothesis Hmu : (0 <= zmu)%Z.
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation bk t := (index t blocks).
Notation F := (frame_of E m qs layout).

Lemma Hqs q : In q qs -> (q <= m)%nat.
Proof. destruct Hfits as [_ [->|H]]; [intros [<-|[]]; lia|intros I; specialize (H q I); lia]. Qed.
Lemma qs_nodup : NoDup qs. Proof. apply Hfits. Qed.

(** An input of the cell. *)
Record input (ts : list nat) : Prop := Input {
  i_ok : ok V (S k) ts;
  i_le : forall p, (p <= k)%nat -> (tok ts p <= m)%nat;
  i_max : exists p, (p <= k)%nat /\ tok ts p = m;
  i_q : In (tok ts k) qs }.
Lemma input_of ts : ok V (S k) ts -> in_cell m qs ts = true -> input ts.
Proof. intros Hok C. apply (in_cell_spec k m qs ts (proj1 Hok)) in C as (A & B & D). constructor; assumption. Qed.
Lemma input_in ts : input ts -> in_cell m qs ts = true.
Proof. intros [A B C D]. apply (in_cell_spec k m qs ts (proj1 A)). auto. Qed.

Lemma forced_max ts : input ts -> f_forced F = true -> exists p, (p < k)%nat /\ bk (tok ts p) = pred nb.
Proof.
  intros I Hf. assert (Hl : pred nb = length layout) by (rewrite app_length; simpl; lia). rewrite Hl.
  assert (Hq : tok ts k <> m).
  { intros Eq. pose proof (i_q ts I) as Iq. rewrite Eq in Iq. destruct Hfits as [_ [Q|Q]]; [|specialize (Q m Iq); lia].
    cbn [frame_of f_forced] in Hf. rewrite Q in Hf. rewrite Nat.eqb_refl in Hf. discriminate. }
  destruct (i_max ts I) as (p & Hp & Ep). exists p. split; [destruct (Nat.eq_dec p k) as [->|]; [contradiction|lia]|]. rewrite Ep. apply bk_max. exact Hlay.
Qed.
Lemma not_forced : f_forced F = false -> qs = [m].
Proof.
  cbn [frame_of f_forced]. destruct qs as [|q [|q' l]]; try discriminate. intros H. apply negb_false_iff, Nat.eqb_eq in H. subst. reflexivity.
Qed.

Definition covered (al : nat -> Z) (ts : list nat) : Prop := forall i, (i <= k)%nat -> Z.testbit (al i) (Z.of_nat (tok ts i)) = true.
Definition real_term (j : nat) (ts : list nat) (i : nat) : R :=
  factor E m qs layout (tok ts k) * weight N (tok ts k) (tok ts i) i * (bracket N (tok ts k) i (tok ts i) j m * U + IZR zmu).
Definition held (r : rows) (j : nat) (ts : list nat) : Prop :=
  exists xs, forall i, (i <= k)%nat -> In (bk (tok ts i), xs i) (r i) /\ real_term j ts i <= IZR (xs i).

(** What the parent has shown, of all inputs of the cell. *)
Definition shown (answers : list answer) (g : option Z) : Prop :=
  (forall a, In a answers -> (fst a < O)%nat /\ fst a <> m) /\
  forall ts, input ts -> forall j, (j < O)%nat -> j <> m -> (exists al, In (j, al) answers /\ covered al ts) \/ beaten N E m zmu g j ts.
(** What is left of it, with terms. *)
Definition remains (ls : list left) (g : option Z) : Prop :=
  (forall l, In l ls -> (fst (fst l) < O)%nat /\ fst (fst l) <> m) /\
  forall ts, input ts -> forall j, (j < O)%nat -> j <> m -> (exists l, In l ls /\ fst (fst l) = j /\ covered (snd (fst l)) ts /\ held (snd l) j ts) \/ beaten N E m zmu g j ts.

Lemma beaten_l g g' j ts : beaten N E m zmu g j ts -> beaten N E m zmu (omin g g') j ts.
Proof. intros [A B]. split; [exact A|apply at_least_l, B]. Qed.
(** SPEC-7.4 *)
Lemma beaten_good g j ts : beaten N E m zmu g j ts -> 0 < gap N m j ts /\ at_least g (gap N m j ts).
Proof.
  intros [A B]. split; [|exact B]. apply IZR_le in Hmu. pose proof (p2_pos (evs E) (h_vs N E HE)). apply Rmult_lt_reg_r with U; lra.
Qed.

Lemma rows_held a ts : input ts -> (fst a < O)%nat -> covered (snd a) ts -> held (rows_of E upper_term F zmu (fst a) (snd a)) (fst a) ts.
Proof.
  intros I Hj Cv.
  assert (Ch : forall n, (n <= S k)%nat -> exists xs, forall i, (i < n)%nat -> In (bk (tok ts i), xs i) (rows_of E upper_term F zmu (fst a) (snd a) i) /\ real_term (fst a) ts i <= IZR (xs i)).
  { induction n as [|n IH]; intros Hn; [exists (fun _ => 0%Z); intros; lia|]. destruct (IH ltac:(lia)) as (xs & Hxs).
    destruct (rows_sound N E HE m qs layout Hm Hqs Hlay ts (i_le ts I) (i_q ts I) (fst a) zmu (snd a) n Hj ltac:(lia) (Cv n ltac:(lia))) as (x & Ix & Lx).
    exists (fun i => if Nat.eqb i n then x else xs i). intros i Hi. destruct (Nat.eqb_spec i n) as [->|]; [split; [exact Ix|exact Lx]|apply Hxs; lia]. }
  destruct (Ch (S k) (le_n _)) as (xs & Hxs). exists xs. intros i Hi. apply Hxs. lia.
Qed.

(** A sum below zero is a margin. *)
Lemma sum_beats j ts s : input ts -> (forall i, (i <= k)%nat -> True) -> Rsum (S k) (real_term j ts) <= IZR s -> (s < 0)%Z ->
  beaten N E m zmu (Some (margin_of (evs E) (zmu + - s / f_heavy F))) j ts.
Proof.
  intros I _ Hs Hneg.
  destruct (gap_of_sum N ts j m k (evs E) zmu (factor E m qs layout (tok ts k)) (h_ctx N E HE) (factor_pos N E HE m qs layout (tok ts k)) s (f_heavy F) Hs Hneg
    (heavy_sound N E HE m qs layout Hm Hqs Hlay ts (i_le ts I) (i_q ts I))) as [A B].
  split; [exact A|]. simpl. apply (margin_of_sound (evs E)); [apply (h_vs N E HE)|exact B].
Qed.
Lemma held_sum r j ts xs : (forall i, (i <= k)%nat -> In (bk (tok ts i), xs i) (r i) /\ real_term j ts i <= IZR (xs i)) ->
  Rsum (S k) (real_term j ts) <= IZR (Zsum (S k) xs).
Proof. intros H. rewrite IZR_Zsum. apply Rsum_le. intros i Hi. apply H. lia. Qed.

Lemma allowed_covers r j ts : input ts -> held r j ts -> covered (allowed_of E F r) ts.
Proof.
  intros I (xs & Hxs) i Hi. unfold allowed_of. rewrite memo_eq by lia. destruct (Hxs i Hi) as [J _].
  destruct (bk_spec m layout Hlay (tok ts i) (i_le ts I i Hi)) as [Hb It].
  induction (r i) as [|e l IH]; [destruct J|]. cbn [fold_right]. rewrite Z.lor_spec. destruct J as [->|J]; [|rewrite IH by exact J; apply orb_true_r].
  cbn [fst]. rewrite (frame_mask E m qs layout) by exact Hb. rewrite mask_of_spec by exact It. reflexivity.
Qed.

(** SPEC-7.6. Lemma 7.6 *)
Theorem extreme_test_sound answers g : shown answers g ->
  remains (fst (extreme_test E F zmu answers)) (omin g (snd (extreme_test E F zmu answers))).
Proof.
  intros [HO Sh]. unfold extreme_test. cbn [fst snd]. split.
  - intros l Il. apply in_flat_map in Il as (o & Io & Il). apply in_map_iff in Io as (a & <- & Ia). unfold test_one in Il. cbv zeta in Il. cbn [fst] in Il.
    destruct (fst (tested _ _ _ _)); [|destruct Il]. destruct Il as [<-|[]]. cbn [fst]. apply HO. exact Ia.
  - intros ts I j Hj Hjm. destruct (Sh ts I j Hj Hjm) as [(al & Ia & Cv)|B]; [|right; apply beaten_l, B].
    destruct (rows_held (j, al) ts I Hj Cv) as (xs & Hxs). cbn [fst snd] in Hxs. set (r := rows_of E upper_term F zmu j al) in *.
    assert (Tst : test_one E F zmu (j, al) = (match fst (tested k (pred (f_nb F)) (f_forced F) r) with None => [] | Some r' => [((j, allowed_of E F r'), r')] end,
      match snd (tested k (pred (f_nb F)) (f_forced F) r) with None => None | Some s => Some (margin_of (evs E) (zmu + - s / f_heavy F)) end)) by reflexivity.
    destruct (tested_sound k (pred (f_nb F)) (f_forced F) r (fun i => bk (tok ts i)) xs (fun i Hi => proj1 (Hxs i Hi)) (forced_max ts I)) as [(r' & Er & Hr)|(s & Es & Ls & Hs)].
    + left. exists ((j, allowed_of E F r'), r'). assert (Hd : held r' j ts) by (exists xs; intros i Hi; split; [apply Hr, Hi|apply Hxs, Hi]).
      split; [|split; [reflexivity|split; [apply (allowed_covers r' j ts I Hd)|exact Hd]]].
      apply in_flat_map. exists (test_one E F zmu (j, al)). split; [apply in_map, Ia|]. rewrite Tst, Er. left. reflexivity.
    + right. destruct (sum_beats j ts s I (fun _ _ => Logic.I)) as [A B]; [|exact Hs|].
      { apply Rle_trans with (1 := held_sum r j ts xs Hxs). apply IZR_le. exact Ls. }
      split; [exact A|]. apply at_least_r.
      assert (J : In (test_one E F zmu (j, al)) (map (test_one E F zmu) answers)) by (apply in_map, Ia). rewrite Tst, Es in J. revert J.
      generalize (map (test_one E F zmu) answers). intros l J. induction l as [|o l IH]; [destruct J|]. simpl. destruct J as [->|J]; [apply at_least_l; exact B|apply at_least_r; auto].
Qed.

(** SPEC-7.12 *)
Theorem untested_sound answers g : shown answers g -> remains (untested E F zmu answers) g.
Proof.
  intros [HO Sh]. unfold untested. split.
  - intros l Il. apply in_map_iff in Il as (a & <- & Ia). cbn [fst]. apply HO, Ia.
  - intros ts I j Hj Hjm. destruct (Sh ts I j Hj Hjm) as [(al & Ia & Cv)|B]; [left|right; exact B].
    eexists. split; [apply in_map_iff; exists (j, al); split; [reflexivity|exact Ia]|]. cbn [fst snd]. split; [reflexivity|]. split; [exact Cv|].
    exact (rows_held (j, al) ts I Hj Cv).
Qed.

(** What is left is shown again, to the children. *)
Lemma remains_shown ls g : remains ls g -> shown (map fst ls) g.
Proof.
  intros [HO R]. split.
  - intros a Ia. apply in_map_iff in Ia as (l & <- & Il). apply HO, Il.
  - intros ts I j Hj Hjm. destruct (R ts I j Hj Hjm) as [(l & Il & El & Cv & _)|B]; [left|right; exact B].
    exists (snd (fst l)). split; [|exact Cv]. apply in_map_iff. exists l. split; [|exact Il]. rewrite <- El. destruct l as [[? ?] ?]. reflexivity.
Qed.

(** ** Enumerations *)
Section Enumerated.
Variables (ls : list left) (g : option Z).
Hypothesis HR : remains ls g.
Notation g1 := (omin g (Some (margin_of (evs E) zmu))).

(** If some answer is not good, then for an answer that is left the terms do not sum to less than zero. *)
Lemma not_good_held ts : input ts -> good N O m g1 ts = false ->
  exists l, In l ls /\ fst (fst l) <> m /\ held (snd l) (fst (fst l)) ts /\ (forall xs, (forall i, (i <= k)%nat -> In (bk (tok ts i), xs i) (snd l i) /\ real_term (fst (fst l)) ts i <= IZR (xs i)) -> (0 <= Zsum (S k) xs)%Z)
    /\ (zmu = 0%Z -> gap N m (fst (fst l)) ts <= 0).
Proof.
  intros I Ng. apply not_good in Ng as (j & Hj & Hjm & Ng). destruct (proj2 HR ts I j Hj Hjm) as [(l & Il & El & _ & Hd)|B].
  - exists l. split; [exact Il|]. rewrite El. split; [exact Hjm|]. split; [exact Hd|]. split.
    + intros xs Hxs. destruct (Z_lt_le_dec (Zsum (S k) xs) 0) as [Neg|]; [|assumption]. exfalso. apply Ng.
      destruct (sum_beats j ts _ I (fun _ _ => Logic.I) (held_sum (snd l) j ts xs Hxs) Neg) as [A _]. apply beaten_good. split; [exact A|].
      apply at_least_r. simpl. apply (margin_of_sound (evs E)); [apply (h_vs N E HE)|lra].
    + intros Z0. apply Rnot_lt_le. intros Gp. apply Ng. split; [exact Gp|]. apply at_least_r. simpl. apply (margin_of_sound (evs E)); [apply (h_vs N E HE)|].
      rewrite Z0. pose proof (p2_pos (evs E) (h_vs N E HE)). apply Rmult_le_pos; lra.
  - exfalso. apply Ng. apply beaten_good. apply beaten_l. exact B.
Qed.

Lemma tokens_at_bk i b t : (b < nb)%nat -> In t (tokens_at E F i b) -> bk t = b /\ (t <= m)%nat.
Proof.
  intros Hb It. assert (J : In t (nth b blocks [])).
  { unfold tokens_at in It. rewrite (frame_blk E m qs layout b Hb) in It. destruct (i <? k)%nat; [exact It|]. apply filter_In in It. apply It. }
  split; [apply (bk_unique m layout Hlay); assumption|apply (block_tokens m layout Hlay b); assumption].
Qed.
Lemma token_at ts i : input ts -> (i <= k)%nat -> In (tok ts i) (tokens_at E F i (bk (tok ts i))).
Proof.
  intros I Hi. destruct (bk_spec m layout Hlay (tok ts i) (i_le ts I i Hi)) as [Hb It]. unfold tokens_at. rewrite (frame_blk E m qs layout _ Hb).
  destruct (Nat.ltb_spec i k); [exact It|]. apply filter_In. split; [exact It|]. replace i with k by lia. apply existsb_eqb. apply (i_q ts I).
Qed.

Notation st0 := (map (fun l : left => entry_of E nb (snd l)) ls).
Notation blks := (memo (S k) (fun i => filter (fun b => has_term i b st0 && inhabited (tokens_at E F i b))%bool (seq 0 nb)) []).
Notation mlt := (memo (S k) (fun i => memo nb (fun b => lsum (W i) (tokens_at E F i b)) 0%Z) (fun _ => 0%Z)).
Notation hold := (fun i b : nat => ((i <? k)%nat && Nat.eqb b (pred nb))%bool).

Lemma blks_in i b : (i <= k)%nat -> In b (blks i) <-> (b < nb)%nat /\ has_term i b st0 = true /\ inhabited (tokens_at E F i b) = true.
Proof.
  intros Hi. rewrite (memo_eq (S k) _ [] i) by lia. rewrite filter_In, in_seq, andb_true_iff. split; intros [A B]; (split; [lia|exact B]).
Qed.
Lemma blks_over i : (k < i)%nat -> blks i = [].
Proof. intros Hi. unfold memo. apply nth_overflow. rewrite map_length, seq_length. lia. Qed.
Lemma blks_lt i b : In b (blks i) -> (b < nb)%nat /\ (i <= k)%nat.
Proof.
  intros I. destruct (Nat.le_gt_cases i k) as [Hi|Hi]; [apply blks_in in I as [A _]; auto|]. rewrite blks_over in I by exact Hi. destruct I.
Qed.
(** The enumeration's multiplicities are those of the tokens. *)
Lemma enum_mult verdict n : forall i st h path, (i + n = S k)%nat ->
  enum blks mlt hold (fun i => (k <=? i)%nat) verdict n i st h path = enum blks (mult W (tokens_at E F)) hold (fun i => (k <=? i)%nat) verdict n i st h path.
Proof.
  induction n as [|n IH]; intros i st h path Hn; [reflexivity|]. cbn [enum].
  assert (Sub : forall b, In b (blks i) -> (b < nb)%nat /\ (i <= k)%nat) by apply blks_lt.
  revert Sub. generalize (blks i). intros l Sub. induction l as [|b l IHl]; [reflexivity|]. cbn [fold_right]. rewrite IHl by (intros; apply Sub; right; assumption).
  destruct (next _ _ i b st h); [reflexivity|]. cbv zeta. rewrite IH by lia. destruct (Sub b (or_introl eq_refl)) as [Hb Hi].
  replace (mlt i b) with (mult W (tokens_at E F) i b); [reflexivity|]. rewrite (memo_eq (S k)) by lia. symmetry. apply (memo_eq nb (fun b => lsum (W i) (tokens_at E F i b))). exact Hb.
Qed.

Lemma entry_eq r i b : (i <= k)%nat -> (b < nb)%nat -> fst (entry_of E nb r) i b = match look b (r i) with Some x => Some (x - zmax snd (r i))%Z | None => None end.
Proof.
  intros Hi Hb. unfold entry_of. cbv zeta. cbn [fst]. rewrite (memo_eq (S k) _ (fun _ => None) i) by lia.
  rewrite (memo_eq nb _ None b) by exact Hb. rewrite (memo_eq (S k) _ 0%Z i) by lia. reflexivity.
Qed.
Lemma entry_top r : snd (entry_of E nb r) = Zsum (S k) (fun i => zmax snd (r i)).
Proof. unfold entry_of. cbv zeta. cbn [snd]. apply Zsum_ext. intros i Hi. apply (memo_eq (S k) (fun i => zmax snd (r i))). exact Hi. Qed.

Variable verdict : list nat -> Z * Z.
Notation run := (enum blks mlt hold (fun i => (k <=? i)%nat) verdict (S k) 0 st0 (negb (f_forced F)) []).

Theorem enumerate_upper :
  (forall p, (0 <= snd (verdict p))%Z) ->
  (forall ts, input ts -> good N O m g1 ts = false -> (1 <= snd (verdict (map (fun t => bk t) ts)))%Z) ->
  (cellmass W V k m qs (fun ts => negb (good N O m g1 ts)) <= snd run)%Z.
Proof.
  intros V0 V1. rewrite cellmass_mass by apply qs_nodup. rewrite enum_mult by lia.
  apply (enum_upper W V HW (fun t => bk t) (tokens_at E F) blks hold (fun i => (k <=? i)%nat) verdict).
  - intros i b t Ib It. apply (tokens_at_bk i b t); [apply (blks_lt i b Ib)|exact It].
  - intros i b t Ib It. pose proof (tokens_at_bk i b t (proj1 (blks_lt i b Ib)) It). lia.
  - exact V0.
  - intros i p b L. apply Nat.leb_le in L. destruct (Nat.ltb_spec (i + p) k); [lia|reflexivity].
  - intros ts Hok Hbad. apply andb_prop in Hbad as [C Ng]. apply negb_true_iff in Ng. pose proof (input_of ts Hok C) as I.
    destruct (not_good_held ts I Ng) as (l & Il & Hlm & (xs & Hxs) & Hsum & _).
    set (x := fun i => match look (bk (tok ts i)) (snd l i) with Some y => y | None => 0%Z end).
    set (y := fun i => (x i - zmax snd (snd l i))%Z).
    assert (Hx : forall i, (i <= k)%nat -> look (bk (tok ts i)) (snd l i) = Some (x i) /\ (xs i <= x i)%Z).
    { intros i Hi. destruct (look_ge _ _ _ (proj1 (Hxs i Hi))) as (z & Ez & Lz). unfold x. rewrite Ez. auto. }
    exists (fst (entry_of E nb (snd l))), (snd (entry_of E nb (snd l))). split.
    { rewrite <- surjective_pairing. apply (in_map (fun l : left => entry_of E nb (snd l))). exact Il. }
    destruct Hok as [Lts Bts]. apply (possible_intro (fun t => bk t) (tokens_at E F) blks hold verdict _ y); rewrite ?Lts.
    + intros p Hp. cbn [Nat.add]. fold (tok ts p). destruct (bk_spec m layout Hlay (tok ts p) (i_le ts I p ltac:(lia))) as [Hb It].
      assert (Ey : fst (entry_of E nb (snd l)) p (bk (tok ts p)) = Some (y p)) by (rewrite entry_eq by (lia || exact Hb); rewrite (proj1 (Hx p ltac:(lia))); reflexivity).
      split; [|split; [|split]].
      * apply blks_in; [lia|]. split; [exact Hb|]. split; [|pose proof (token_at ts p I ltac:(lia)) as J; destruct (tokens_at E F p (bk (tok ts p))); [destruct J|reflexivity]].
        apply existsb_exists. exists (entry_of E nb (snd l)). split; [apply (in_map (fun l : left => entry_of E nb (snd l))); exact Il|]. rewrite Ey. reflexivity.
      * apply token_at; [exact I|lia].
      * exact Ey.
      * unfold y. pose proof (zmax_ge snd _ _ (look_in _ _ _ (proj1 (Hx p ltac:(lia))))) as Tp. cbn [snd] in Tp. lia.
    + rewrite entry_top. cbn [Nat.add].
      assert (G : forall n (f h : nat -> Z), (Zsum n (fun p => f p - h p) = Zsum n f - Zsum n h)%Z) by (induction n; intros; cbn [Zsum]; [lia|rewrite IHn; lia]).
      unfold y. rewrite (G (S k) x). assert (0 <= Zsum (S k) x)%Z; [|change (Zsum (S k) (fun p => x p)) with (Zsum (S k) x); lia]. apply Hsum. intros i Hi. destruct (Hx i Hi) as [Lx Ge]. split.
      * apply look_in. exact Lx.
      * apply Rle_trans with (1 := proj2 (Hxs i Hi)). apply IZR_le. exact Ge.
    + destruct (f_forced F) eqn:Ff; [right|left; reflexivity]. destruct (forced_max ts I Ff) as (p & Hp & Ep). exists p. split; [lia|]. cbn [Nat.add]. fold (tok ts p).
      rewrite Ep, Nat.eqb_refl. destruct (Nat.ltb_spec p k); [reflexivity|lia].
    + cbn [rev app]. apply V1; assumption.
Qed.

Section Exact.
Variable q0 : nat.
Hypothesis Hone : qs = [q0].
Hypothesis Hsingle : forall b, In b layout -> length b = 1%nat.
Hypothesis verdict_one : forall p, (fst (verdict p) <= 1)%Z.
Hypothesis verdict_wrong : forall ts, input ts -> (0 < fst (verdict ts))%Z -> wrong N O m ts = true.

Lemma singles_nth l s b : concat l = seq s (length l) -> (forall b, In b l -> length b = 1%nat) -> (b < length l)%nat -> nth b l [] = [(s + b)%nat].
Proof.
  revert s b. induction l as [|x l IH]; intros s b C H Hb; [simpl in Hb; lia|]. assert (Lx : length x = 1%nat) by (apply H; left; reflexivity).
  destruct x as [|t [|]]; try discriminate. simpl in C. injection C as -> C. destruct b as [|b]; [simpl; rewrite Nat.add_0_r; reflexivity|].
  cbn [nth]. rewrite (IH (S s) b C); [f_equal; lia|intros; apply H; right; auto|simpl in Hb; lia].
Qed.
Lemma singles_length l s n : concat l = seq s n -> (forall b, In b l -> length b = 1%nat) -> length l = n.
Proof.
  revert s n. induction l as [|x l IH]; intros s n C H; [destruct n; [reflexivity|discriminate]|]. assert (Lx : length x = 1%nat) by (apply H; left; reflexivity).
  destruct x as [|t [|]]; try discriminate. destruct n; [discriminate|]. simpl in C. injection C as -> C. simpl. f_equal. eapply IH; [exact C|]. intros; apply H; right; auto.
Qed.
Lemma block_single b : (b < nb)%nat -> nth b blocks [] = [b].
Proof.
  intros Hb. pose proof (singles_length layout 0 m Hlay Hsingle) as Ll. rewrite app_length in Hb. simpl in Hb. destruct (Nat.eq_dec b m) as [->|].
  - rewrite app_nth2 by lia. rewrite Ll, Nat.sub_diag. reflexivity.
  - rewrite app_nth1 by lia. rewrite <- Ll in Hlay. rewrite (singles_nth layout 0 b Hlay Hsingle) by lia. reflexivity.
Qed.
Lemma nb_single : nb = S m.
Proof. rewrite app_length, (singles_length layout 0 m Hlay Hsingle). simpl. lia. Qed.
Lemma bk_single t : (t <= m)%nat -> bk t = t.
Proof. intros Ht. destruct (bk_spec m layout Hlay t Ht) as [Hb It]. rewrite block_single in It by exact Hb. destruct It as [It|[]]. symmetry in It. congruence. Qed.

Lemma last_blks b : In b (blks k) -> b = q0.
Proof.
  intros Ib. pose proof (proj1 (blks_lt k b Ib)) as Hb. apply blks_in in Ib as (_ & _ & In2); [|lia]. unfold tokens_at in In2.
  rewrite (frame_blk E m qs layout b Hb), block_single in In2 by exact Hb. rewrite Nat.ltb_irrefl in In2. assert (Fq : f_qs F = [q0]) by (exact Hone). rewrite Fq in In2. simpl in In2.
  destruct (Nat.eqb_spec b q0); [assumption|discriminate].
Qed.

Theorem enumerate_lower : (fst run <= cellmass W V k m qs (wrong N O m))%Z.
Proof.
  rewrite cellmass_mass by apply qs_nodup. rewrite enum_mult by lia.
  apply (enum_lower W V HW (tokens_at E F) blks hold (fun i => (k <=? i)%nat) verdict).
  - intros i b Ib. destruct (blks_lt i b Ib) as [Hb Hi]. unfold tokens_at. rewrite (frame_blk E m qs layout b Hb), block_single by exact Hb.
    destruct (Nat.ltb_spec i k); [reflexivity|]. replace i with k in Ib by lia. rewrite (last_blks b Ib).
    assert (Fq : f_qs F = [q0]) by (exact Hone). rewrite Fq. simpl. rewrite Nat.eqb_refl. reflexivity.
  - intros i. destruct (Nat.le_gt_cases i k) as [Hi|Hi]; [rewrite (memo_eq (S k)) by lia; apply NoDup_filter, seq_NoDup|]. rewrite blks_over by exact Hi. constructor.
  - intros i b Ib. destruct (blks_lt i b Ib) as [Hb _]. rewrite nb_single in Hb. lia.
  - exact verdict_one.
  - intros ts Lts Wk Hv. cbn [rev app] in Hv. apply andb_true_intro.
    assert (Wb : forall s i h, walk blks hold i h s -> forall p, (p < length s)%nat -> In (nth p s 0%nat) (blks (i + p))).
    { induction s as [|t s IH]; intros i h W0 p Hp; [simpl in Hp; lia|]. destruct W0 as [A B]. destruct p as [|p]; [rewrite Nat.add_0_r; exact A|].
      simpl. replace (i + S p)%nat with (S i + p)%nat by lia. apply (IH _ _ B). simpl in Hp. lia. }
    assert (Wh : forall s i h, walk blks hold i h s -> h = true \/ exists p, (p < length s)%nat /\ hold (i + p)%nat (nth p s 0%nat) = true).
    { induction s as [|t s IH]; intros i h W0; [left; exact W0|]. destruct W0 as [_ B]. destruct (IH _ _ B) as [Hh|(p & Hp & Ep)].
      - apply orb_prop in Hh as [Hh|Hh]; [left; exact Hh|right; exists 0%nat; rewrite Nat.add_0_r; split; [simpl; lia|exact Hh]].
      - right. exists (S p). split; [simpl; lia|]. replace (i + S p)%nat with (S i + p)%nat by lia. exact Ep. }
    assert (Le : forall p, (p <= k)%nat -> (tok ts p <= m)%nat).
    { intros p Hp. pose proof (Wb ts 0%nat _ Wk p ltac:(lia)) as J. cbn [Nat.add] in J. destruct (blks_lt p _ J) as [Hb _]. rewrite nb_single in Hb. unfold tok. lia. }
    assert (Qk : tok ts k = q0) by (pose proof (Wb ts 0%nat _ Wk k ltac:(lia)) as J; apply last_blks in J; exact J).
    assert (I : input ts).
    { constructor.
      - split; [exact Lts|]. intros t It. apply (In_nth ts t 0%nat) in It as (p & Hp & <-). specialize (Le p ltac:(lia)). unfold tok in Le. lia.
      - exact Le.
      - destruct (Wh ts 0%nat _ Wk) as [Hh|(p & Hp & Ep)].
        + apply negb_true_iff in Hh. pose proof (not_forced Hh) as Qm. exists k. split; [lia|]. rewrite Qk. rewrite Hone in Qm. injection Qm as ->. reflexivity.
        + cbn [Nat.add] in Ep. apply andb_prop in Ep as [_ Ep]. apply Nat.eqb_eq in Ep. exists p. split; [lia|]. unfold tok. rewrite Ep, nb_single. reflexivity.
      - rewrite Hone, Qk. left. reflexivity. }
    split; [apply input_in, I|apply verdict_wrong; assumption].
Qed.
End Exact.
End Enumerated.

(** ** Exact cells: one query, single tokens *)
Section ExactCell.
Variables (ls : list left) (g : option Z).
Hypothesis HR : remains ls g.
Hypothesis Hex : exact_cell qs layout = true.
Notation g1 := (omin g (Some (margin_of (evs E) zmu))).

Lemma exact_one : exists q0, qs = [q0].
Proof.
  unfold exact_cell in Hex. apply andb_prop in Hex as [A _]. apply Nat.eqb_eq in A. destruct qs as [|q [|]]; try discriminate. eauto.
Qed.
Lemma exact_single b : In b layout -> length b = 1%nat.
Proof. unfold exact_cell in Hex. apply andb_prop in Hex as [_ B]. rewrite forallb_forall in B. intros I. apply Nat.eqb_eq, B, I. Qed.

Lemma path_sum_spec lk path : forall i s, path_sum lk i path = Some s ->
  exists y, s = Zsum (length path) y /\ forall p, (p < length path)%nat -> lk (i + p)%nat (nth p path 0%nat) = Some (y p).
Proof.
  induction path as [|b r IH]; intros i s H; simpl in H.
  - injection H as <-. exists (fun _ => 0%Z). split; [reflexivity|simpl; intros; lia].
  - destruct (lk i b) as [x|] eqn:Ex; [|discriminate]. destruct (path_sum lk (S i) r) as [z|] eqn:Ez; [|discriminate]. injection H as <-.
    destruct (IH _ _ Ez) as (y & -> & Hy). exists (fun p => match p with 0%nat => x | S p => y p end). split.
    + assert (Sh : forall n (f : nat -> Z), Zsum (S n) f = (f 0%nat + Zsum n (fun p => f (S p)))%Z).
      { induction n; intros f; [simpl; lia|]. cbn [Zsum]. cbn [Zsum] in IHn. rewrite IHn. lia. }
      cbn [length]. rewrite Sh. reflexivity.
    + intros [|p] Hp; [rewrite Nat.add_0_r; exact Ex|]. replace (i + S p)%nat with (S i + p)%nat by lia. apply Hy. simpl in Hp. lia.
Qed.

Lemma lower_row ts j al i y : input ts -> (j < O)%nat -> (i <= k)%nat ->
  look (tok ts i) (rows_of E lower_term F 0 j al i) = Some y ->
  IZR y <= factor E m qs layout (tok ts k) * weight N (tok ts k) (tok ts i) i * (bracket N (tok ts k) i (tok ts i) j m * U).
Proof.
  intros I Hj Hi Ly. apply look_in in Ly. unfold rows_of in Ly. rewrite memo_eq in Ly by lia. unfold make_row in Ly.
  apply in_map_iff in Ly as ((b & (lo & hi)) & Ey & J). unfold fst at 1, snd at 1 2 in Ey. unfold fst in Ey. injection Ey as -> <-. apply filter_In in J as [J _].
  destruct (bk_spec m layout Hlay (tok ts i) (i_le ts I i Hi)) as [Hb It]. rewrite (bk_single exact_single) in Hb, It by (apply (i_le ts I); exact Hi).
  assert (At : at_place E m layout (tok ts k) i (tok ts i) (tok ts i)) by (split; [exact Hb|split; [exact It|intros ->; reflexivity]]).
  pose proof (weights_sound N E HE m qs layout Hm Hqs Hlay (tok ts k) i _ _ lo hi (i_q ts I) Hi At J) as A.
  destruct exact_one as (q0 & Eq). pose proof (i_q ts I) as Iq. rewrite Eq in Iq. destruct Iq as [Iq|[]].
  replace (zmax (fun q : nat => (pU T q j - pU T q m)%Z) qs) with (pU T (tok ts k) j - pU T (tok ts k) m)%Z by (rewrite <- Iq; clear - Eq; rewrite Eq; reflexivity).
  rewrite !(memo_eq nb _ 0%Z) by exact Hb. cbv beta. rewrite !(memo_eq nb (fun b => nth b blocks []) []) by exact Hb.
  rewrite (block_single exact_single) by exact Hb. cbn [zmax zmin fold_left].
  pose proof (p2_pos (evs E) (h_vs N E HE)). pose proof (h_VO N E HE). pose proof (i_le ts I i Hi). pose proof (i_le ts I k ltac:(lia)).
  assert (Br : bracket N (tok ts k) i (tok ts i) j m * U = IZR (zbracket T (tok ts k) i (tok ts i) j m)).
  { rewrite (h_br N E HE) by lia. unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. ring. }
  rewrite Br. eapply Rle_trans; [apply lower_term_sound; [|exact A]|].
  - apply Rlt_le, Rmult_lt_0_compat; [apply (factor_pos N E HE)|apply exp_pos].
  - apply Req_le. f_equal. f_equal. unfold zbracket. lia.
Qed.

Notation answers := (map (fun l : left => fst (fst l)) ls).
Notation lowers := (map (fun l : left => lower_table E nb (rows_of E lower_term F 0 (fst (fst l)) all_tokens)) ls).
Notation verdict := (verdict_exact E m zmu answers lowers).

Lemma answer_ok j : In j answers -> (j < O)%nat /\ j <> m.
Proof. intros J. apply in_map_iff in J as (l & <- & Il). apply (proj1 HR), Il. Qed.
Lemma tokV' ts : input ts -> forall p, (p <= k)%nat -> (tok ts p < V)%nat.
Proof. intros I p Hp. pose proof (i_le ts I p Hp). lia. Qed.

Lemma verdict_exact_wrong ts : input ts -> (0 < fst (verdict ts))%Z -> wrong N O m ts = true.
Proof.
  intros I Hv. apply wrong_spec. unfold verdict_exact in Hv. destruct (existsb _ _) eqn:Ex.
  - apply existsb_exists in Ex as (r & Ir & Er). apply in_map_iff in Ir as (l & <- & Il).
    destruct (path_sum _ _ _) as [s|] eqn:Ep; [|discriminate]. apply Z.leb_le in Er. apply path_sum_spec in Ep as (y & -> & Hy).
    destruct (proj1 HR l Il) as [Hj Hjm]. exists (fst (fst l)). split; [exact Hj|]. split; [exact Hjm|].
    pose proof (proj1 (i_ok ts I)) as Lts. rewrite Lts in *.
    apply (wrong_of_sum N ts (fst (fst l)) m k (evs E) (factor E m qs layout (tok ts k)) (h_ctx N E HE) (h_vs N E HE) (factor_pos N E HE m qs layout _) _ ) with (2 := Er).
    rewrite IZR_Zsum. apply Rsum_le. intros i Hi. apply (lower_row ts _ all_tokens); [exact I|exact Hj|lia|].
    specialize (Hy i Hi). cbn [Nat.add] in Hy. fold (tok ts i) in Hy. unfold lower_table in Hy. rewrite (memo_eq (S k)) in Hy by lia.
    assert (Hb : (tok ts i < nb)%nat) by (rewrite (nb_single exact_single); pose proof (i_le ts I i ltac:(lia)); lia).
    rewrite <- Hy. symmetry. exact (memo_eq nb (fun b => look b (rows_of E lower_term F 0 (fst (fst l)) all_tokens i)) None (tok ts i) Hb).
  - destruct (zmu =? 0)%Z; [|simpl in Hv; lia]. destruct (is_wrong _ _ _ _) as [[|]|] eqn:Ew; simpl in Hv; try lia.
    apply (is_wrong_true N E HE m ts (proj1 (i_ok ts I)) (tokV' ts I) Hm) in Ew as (j & Ij & G); [|intros j Ij; apply answer_ok, Ij].
    exists j. destruct (answer_ok j Ij). auto.
Qed.

Lemma verdict_exact_upper ts : input ts -> good N O m g1 ts = false -> (1 <= snd (verdict ts))%Z.
Proof.
  intros I Ng. unfold verdict_exact. destruct (existsb _ _); [simpl; lia|]. destruct (Z.eqb_spec zmu 0) as [Z0|]; [|simpl; lia].
  destruct (is_wrong _ _ _ _) as [[|]|] eqn:Ew; simpl; try lia. exfalso.
  destruct (not_good_held ls g HR ts I Ng) as (l & Il & _ & _ & _ & G). specialize (G Z0).
  pose proof (is_wrong_false N E HE m ts (proj1 (i_ok ts I)) (tokV' ts I) Hm answers (fun j Ij => proj1 (answer_ok j Ij)) Ew (fst (fst l)) (in_map (fun l => fst (fst l)) ls l Il)). lra.
Qed.
Lemma verdict_exact_range p : (fst (verdict p) <= 1)%Z /\ (0 <= snd (verdict p))%Z.
Proof.
  unfold verdict_exact. destruct (existsb _ _); [simpl; lia|]. destruct (_ =? _)%Z; [|simpl; lia]. destruct (is_wrong _ _ _ _) as [[|]|]; simpl; lia.
Qed.
Lemma map_bk ts : input ts -> map (fun t => bk t) ts = ts.
Proof.
  intros I. rewrite <- (map_id ts) at 2. apply map_ext_in. intros t It. apply (bk_single exact_single).
  apply (In_nth ts t 0%nat) in It as (p & Hp & <-). rewrite (proj1 (i_ok ts I)) in Hp. apply (i_le ts I). lia.
Qed.
End ExactCell.

(** SPEC-7.8 *)
Theorem enumerated_sound ls g : remains ls g ->
  let r := enumerated E W F (exact_cell qs layout) zmu ls in
  (fst r <= cellmass W V k m qs (wrong N O m))%Z /\
  (cellmass W V k m qs (fun ts => negb (good N O m (omin g (Some (margin_of (evs E) zmu))) ts)) <= snd r)%Z.
Proof.
  intros HR r. unfold r, enumerated. cbv zeta. cbn [fst snd]. change (f_nb F) with nb. destruct (exact_cell qs layout) eqn:Hex.
  - destruct (exact_one Hex) as (q0 & Eq). change (f_m F) with m. split.
    + apply (enumerate_lower ls _ q0 Eq (exact_single Hex)).
      * intros p. apply (verdict_exact_range ls).
      * intros ts I. apply (verdict_exact_wrong ls g HR Hex ts I).
    + apply (enumerate_upper ls g HR).
      * intros p. apply (verdict_exact_range ls).
      * intros ts I Ng. rewrite (map_bk Hex ts I). exact (verdict_exact_upper ls g HR ts I Ng).
  - split; [apply cellmass_nonneg, HW|]. apply (enumerate_upper ls g HR); [intros; simpl; lia|intros; simpl; lia].
Qed.
End Sound.
