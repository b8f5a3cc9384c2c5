(** SPEC-7.14: inputs with exactly c free positions that do not hold the maximum. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme Screen Enumerate Tie Leaf.
Import ListNotations.
Open Scope R_scope.

Definition group := (nat * list nat)%type.     (* copies, and the blocks from which the others take their tokens *)
Fixpoint rising (a : list nat) : bool :=
  match a with x :: ((y :: _) as r) => (x <? y)%nat && rising r | _ => true end.
Fixpoint distinct (a : list nat) : bool := match a with [] => true | x :: r => negb (existsb (Nat.eqb x) r) && distinct r end.
Definition oadd (a : option Z) (x : Z) : option Z := match a with Some y => Some (x + y)%Z | None => None end.

(** ** The program *)
Section Program.
Variables (E : env) (W : nat -> nat -> Z) (F : frame).
Notation k := (ek E).
Section Group.
Variables (C : nat) (own other first second : nat -> Z).
(** The largest sum over the free positions from i on, c of which take the other value. *)
Fixpoint best (n i : nat) : nat -> option Z :=
  match n with
  | O => fun c => match c with O => Some 0%Z | _ => None end
  | S n' => let next := best n' (S i) in
            memo (S C) (fun c => omax (oadd (next c) (own i)) (match c with O => None | S c' => oadd (next c') (other i) end)) None
  end.
(** The weight of the choices, c of which take the second weight. *)
Fixpoint ways (n i : nat) : nat -> Z :=
  match n with
  | O => fun c => match c with O => 1%Z | _ => 0%Z end
  | S n' => let next := ways n' (S i) in
            memo (S C) (fun c => first i * next c + match c with O => 0 | S c' => second i * next c' end)%Z 0%Z
  end.
End Group.

Definition chosen_tokens (g : group) : list nat := flat_map (f_blk F) (snd g).
Definition floor_of (r : rows) : Z := (- 1 - Z.of_nat (S k) * zmax (fun e => Z.abs (snd e)) (flat_map r (seq 0 (S k))))%Z.
Definition value_or (floor : Z) (o : option Z) : Z := match o with Some x => x | None => floor end.
Definition own_term (r : rows) (floor : Z) i : Z := value_or floor (look (pred (f_nb F)) (r i)).
Definition other_term (g : group) (r : rows) (floor : Z) i : Z := value_or floor (omaxl (map (fun b => look b (r i)) (snd g))).
Definition loses_group (g : group) (r : rows) : bool :=
  let floor := floor_of r in
  match best (fst g) (own_term r floor) (other_term g r floor) k 0 (fst g) with
  | Some v => (v + zmax snd (r k) <? 0)%Z
  | None => true
  end.
Definition group_valid (g : group) : bool :=
  ((if f_forced F then fst g <? k else fst g <=? k)%nat && forallb (fun b => b <? pred (f_nb F))%nat (snd g) && rising (chosen_tokens g))%bool.
Definition group_weight (g : group) : Z :=
  (ways (fst g) (fun i => W i (f_m F)) (fun i => lsum (W i) (chosen_tokens g)) k 0 (fst g) * lsum (W k) (f_qs F))%Z.
Definition copies_right (ls : list left) (groups : list group) : option Z :=
  if (distinct (map fst groups) && forallb group_valid groups)%bool then
    Some (lsum (fun g => if forallb (fun l : left => loses_group g (snd l)) ls then group_weight g else 0%Z) groups)
  else None.
End Program.

(** ** What it proves *)
Lemma rising_nodup a : rising a = true -> NoDup a.
Proof.
  assert (G : forall a x, rising (x :: a) = true -> forall y, In y a -> (x < y)%nat).
  { induction a0 as [|z a0 IH]; intros x H y I; [destruct I|]. cbn [rising] in H. apply andb_prop in H as [A B]. apply Nat.ltb_lt in A.
    destruct I as [<-|I]; [exact A|]. specialize (IH z B y I). lia. }
  induction a as [|x a IH]; intros H; [constructor|]. constructor.
  - intros I. specialize (G a x H x I). lia.
  - apply IH. destruct a; [reflexivity|]. cbn [rising] in H. apply andb_prop in H. apply H.
Qed.

Section Sound.
Variables (N : net) (E : env) (W : nat -> nat -> Z).
Hypothesis HE : holds N E.
Hypothesis HW : forall i t, (0 <= W i t)%Z.
Notation k := (ek E). Notation V := (eV E). Notation O := (eO E).
Variables (m : nat) (qs : list nat) (layout : list (list nat)) (zmu : Z).
Hypothesis Hm : (m < V)%nat.
Hypothesis Hfits : fits m qs.
Hypothesis Hlay : concat layout = seq 0 m.
Hypothesis Hmu : (0 <= zmu)%Z.
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation bk t := (index t blocks).
Notation F := (frame_of E m qs layout).
Notation input := (input E m qs).

Section OneGroup.
Variable g : group.
Hypothesis Hg : group_valid E F g = true.
Notation C := (fst g).
Notation ch := (chosen_tokens F g).

Lemma g_blocks b : In b (snd g) -> (b < pred nb)%nat.
Proof. intros I. unfold group_valid in Hg. apply andb_prop in Hg as [A _]. apply andb_prop in A as [_ A]. rewrite forallb_forall in A. apply Nat.ltb_lt. exact (A b I). Qed.
Lemma g_nodup : NoDup ch.
Proof. unfold group_valid in Hg. apply andb_prop in Hg as [_ A]. apply rising_nodup. exact A. Qed.
Lemma g_token t : In t ch -> (t < m)%nat /\ In (bk t) (snd g).
Proof.
  intros I. unfold chosen_tokens in I. apply in_flat_map in I as (b & Ib & It). pose proof (g_blocks b Ib) as Hb.
  assert (Hb' : (b < nb)%nat) by lia. rewrite (frame_blk E m qs layout b Hb') in It.
  assert (Eb : bk t = b) by (apply (bk_unique m layout Hlay); assumption). rewrite Eb. split; [|exact Ib].
  assert (Le : (t <= m)%nat) by (apply (block_tokens m layout Hlay b); assumption). destruct (Nat.eq_dec t m) as [->|]; [|lia].
  exfalso. rewrite (bk_max m layout Hlay) in Eb. rewrite app_length in Hb. simpl in Hb. lia.
Qed.

(** The inputs of the group, from position i on, c of whose free tokens are chosen ones. *)
Fixpoint pattern (c i : nat) (s : list nat) : bool :=
  match s with
  | [] => false
  | t :: r =>
      if (i <? k)%nat then
        (Nat.eqb t m && pattern c (S i) r) || (existsb (Nat.eqb t) ch && match c with 0%nat => false | S c' => pattern c' (S i) r end)
      else Nat.eqb c 0 && existsb (Nat.eqb t) qs && match r with [] => true | _ => false end
  end.

Notation wy := (ways C (fun i => W i m) (fun i => lsum (W i) ch)).
Lemma wy_out n i c : (C < c)%nat -> (0 < n)%nat -> wy n i c = 0%Z.
Proof. intros Hc Hn. destruct n; [lia|]. cbn [ways]. unfold memo. apply nth_overflow. rewrite map_length, seq_length. lia. Qed.

Lemma qsV q : In q qs -> (q < V)%nat.
Proof. intros I. pose proof (Hqs E m qs Hm Hfits q I). lia. Qed.

Lemma pattern_mass n : forall i c, (i + n = k)%nat -> (c <= C)%nat -> massi W i V (S n) (pattern c i) = (wy n i c * lsum (W k) qs)%Z.
Proof.
  induction n as [|n IH]; intros i c Hi Hc.
  - replace i with k by lia. rewrite massi_S. cbn [ways].
    rewrite (lsum_ext _ (fun t => if existsb (Nat.eqb t) qs then (if Nat.eqb c 0 then W k t else 0) else 0)%Z).
    + rewrite (lsum_members V (fun t => if Nat.eqb c 0 then W k t else 0)%Z qs (proj1 Hfits) qsV). destruct c; cbn [Nat.eqb].
      * rewrite Z.mul_1_l. reflexivity.
      * rewrite lsum_zero; [reflexivity|auto].
    + intros t _. rewrite massi_O. cbn [pattern]. rewrite Nat.ltb_irrefl, andb_true_r. destruct (Nat.eqb c 0), (existsb (Nat.eqb t) qs); cbn [andb]; lia.
  - rewrite massi_S. set (A := massi W (S i) V (S n) (pattern c (S i))). set (B := massi W (S i) V (S n) (match c with 0%nat => fun _ => false | S c' => pattern c' (S i) end)).
    rewrite (lsum_ext _ (fun t => (if Nat.eqb m t then W i t * A else 0) + (if existsb (Nat.eqb t) ch then W i t * B else 0))%Z).
    + rewrite lsum_plus. rewrite (lsum_delta (fun t => W i t * A)%Z m) by apply seq_NoDup. replace (existsb (Nat.eqb m) (seq 0 V)) with true by (symmetry; apply existsb_eqb, in_seq; lia).
      rewrite (lsum_members V (fun t => W i t * B)%Z ch g_nodup) by (intros t It; pose proof (g_token t It); lia).
      rewrite (lsum_ext _ (fun t => B * W i t)%Z) by (intros; lia). rewrite lsum_scal.
      cbn [ways]. rewrite memo_eq by lia. unfold A. rewrite IH by lia.
      assert (EB : B = (match c with 0%nat => 0 | S c' => wy n (S i) c' * lsum (W k) qs end)%Z) by (unfold B; destruct c; [apply massi_false; reflexivity|apply IH; lia]).
      rewrite EB. destruct c; lia.
    + intros t _. cbn [pattern]. destruct (Nat.ltb_spec i k); [|lia]. rewrite (Nat.eqb_sym m t).
      destruct (Nat.eqb_spec t m) as [->|Et].
      * destruct (existsb (Nat.eqb m) ch) eqn:Em; [apply existsb_eqb in Em; apply g_token in Em; lia|]. cbn [andb]. rewrite Z.add_0_r. f_equal. apply massi_ext. intros s _. rewrite orb_false_r. reflexivity.
      * cbn [andb orb]. destruct (existsb (Nat.eqb t) ch); [|rewrite massi_false by reflexivity; lia]. cbn [andb]. rewrite Z.add_0_l. f_equal. apply massi_ext. intros s _. destruct c; reflexivity.
Qed.

Lemma pattern_tokens s : forall c i, pattern c i s = true -> (i <= k)%nat -> (i + length s = S k)%nat /\
  (forall p, (i + p < k)%nat -> nth p s 0%nat = m \/ In (nth p s 0%nat) ch) /\ In (nth (k - i) s 0%nat) qs /\
  (c <= k - i)%nat /\ ((c < k - i)%nat -> exists p, (i + p < k)%nat /\ nth p s 0%nat = m).
Proof.
  induction s as [|t r IH]; intros c i H Hi; [discriminate|]. cbn [pattern] in H. destruct (Nat.ltb_spec i k) as [L|L].
  - replace (k - i)%nat with (S (k - S i)) by lia. cbn [nth length].
    assert (Next : forall c', pattern c' (S i) r = true -> (S i + length r = S k)%nat /\ (forall p, (S i + p < k)%nat -> nth p r 0%nat = m \/ In (nth p r 0%nat) ch) /\ In (nth (k - S i) r 0%nat) qs /\
      (c' <= k - S i)%nat /\ ((c' < k - S i)%nat -> exists p, (S i + p < k)%nat /\ nth p r 0%nat = m)) by (intros; apply IH; [assumption|lia]).
    apply orb_prop in H as [H|H]; apply andb_prop in H as [A B].
    + apply Nat.eqb_eq in A. subst t. destruct (Next c B) as (X & Y & Q & Le & Ex). repeat split; try assumption; try lia.
      * intros [|p] Hp; [left; reflexivity|apply Y; lia].
      * intros _. exists 0%nat. split; [lia|reflexivity].
    + apply existsb_eqb in A. destruct c as [|c']; [discriminate|]. destruct (Next c' B) as (X & Y & Q & Le & Ex). repeat split; try assumption; try lia.
      * intros [|p] Hp; [right; exact A|apply Y; lia].
      * intros Hc. destruct Ex as (p & Hp & Ep); [lia|]. exists (S p). split; [lia|exact Ep].
  - apply andb_prop in H as [H R]. apply andb_prop in H as [Z0 Q]. apply Nat.eqb_eq in Z0. subst c. destruct r; [|discriminate]. apply existsb_eqb in Q.
    replace (k - i)%nat with 0%nat by lia. repeat split; try lia; [simpl; lia|exact Q].
Qed.

Lemma pattern_input ts : pattern C 0 ts = true -> ok V (S k) ts -> input ts.
Proof.
  intros H Hok. destruct (pattern_tokens ts C 0 H ltac:(lia)) as (_ & Y & Q & _ & Ex). rewrite Nat.sub_0_r in Q, Ex.
  assert (Le : forall p, (p <= k)%nat -> (tok ts p <= m)%nat).
  { intros p Hp. destruct (Nat.eq_dec p k) as [->|]; [apply (Hqs E m qs Hm Hfits); exact Q|]. unfold tok. destruct (Y p ltac:(lia)) as [->|I]; [lia|apply g_token in I; lia]. }
  constructor; [exact Hok|exact Le| |exact Q].
  destruct (f_forced F) eqn:Ff.
  - unfold group_valid in Hg. rewrite Ff in Hg. apply andb_prop in Hg as [A _]. apply andb_prop in A as [A _]. apply Nat.ltb_lt in A.
    destruct (Ex A) as (p & Hp & Ep). exists p. split; [lia|exact Ep].
  - pose proof (not_forced E m qs layout Hfits Ff) as Qm. exists k. split; [lia|]. rewrite Qm in Q. destruct Q as [Q|[]]. symmetry. exact Q.
Qed.

(** The count of free tokens that are not m. *)
Fixpoint others (i : nat) (s : list nat) : nat := match s with [] => 0%nat | t :: r => ((if (i <? k)%nat && negb (Nat.eqb t m) then 1 else 0) + others (S i) r)%nat end.
Lemma pattern_others s : forall c i, pattern c i s = true -> others i s = c.
Proof.
  induction s as [|t r IH]; intros c i H; [discriminate|]. cbn [pattern] in H. cbn [others]. destruct (Nat.ltb_spec i k) as [L|L]; cbn [andb].
  - apply orb_prop in H as [H|H]; apply andb_prop in H as [A B].
    + rewrite A. cbn [negb]. rewrite (IH _ _ B). reflexivity.
    + apply existsb_eqb, g_token in A as [A _]. destruct (Nat.eqb_spec t m); [lia|]. destruct c; [discriminate|]. cbn [negb]. rewrite (IH _ _ B). reflexivity.
  - apply andb_prop in H as [H R]. apply andb_prop in H as [Z0 _]. apply Nat.eqb_eq in Z0. destruct r; [cbn [others]; lia|discriminate].
Qed.

Section Sum.
Variables (r : rows) (xs : nat -> Z).
Notation fl := (floor_of E r).
Notation bst := (best C (own_term F r fl) (other_term g r fl)).
Lemma best_sum (ts : list nat) : (forall i, (i <= k)%nat -> In (bk (tok ts i), xs i) (r i)) ->
  forall n i c s, (i + n = k)%nat -> (c <= C)%nat -> (forall p, (p <= n)%nat -> nth p s 0%nat = tok ts (i + p)) -> pattern c i s = true ->
  exists v, bst n i c = Some v /\ (Zsum n (fun p => xs (i + p)%nat) <= v)%Z.
Proof.
  intros Hxs. induction n as [|n IH]; intros i c s Hi Hc Hs H.
  - destruct s as [|t q]; [discriminate|]. cbn [pattern] in H. destruct (Nat.ltb_spec i k); [lia|]. apply andb_prop in H as [H _]. apply andb_prop in H as [Z0 _]. apply Nat.eqb_eq in Z0. subst c.
    exists 0%Z. split; [reflexivity|simpl; lia].
  - destruct s as [|t q]; [discriminate|]. cbn [pattern] in H. destruct (Nat.ltb_spec i k); [|lia].
    pose proof (Hs 0%nat ltac:(lia)) as Ht. rewrite Nat.add_0_r in Ht. cbn [nth] in Ht. subst t.
    assert (Hs' : forall p, (p <= n)%nat -> nth p q 0%nat = tok ts (S i + p)) by (intros p Hp; specialize (Hs (S p) ltac:(lia)); cbn [nth] in Hs; rewrite Hs; f_equal; lia).
    assert (Sh : (Zsum (S n) (fun p => xs (i + p)%nat) = xs i + Zsum n (fun p => xs (S i + p)%nat))%Z).
    { assert (G : forall n (f : nat -> Z), Zsum (S n) f = (f 0%nat + Zsum n (fun p => f (S p)))%Z).
      { induction n0; intros f; [simpl; lia|]. cbn [Zsum]. cbn [Zsum] in IHn0. rewrite IHn0. lia. }
      rewrite G, Nat.add_0_r. f_equal. apply Zsum_ext. intros p _. f_equal. lia. }
    rewrite Sh. cbn [best]. rewrite memo_eq by lia. pose proof (Hxs i ltac:(lia)) as Ix.
    apply orb_prop in H as [H|H]; apply andb_prop in H as [A B].
    + apply Nat.eqb_eq in A. destruct (IH (S i) c q ltac:(lia) Hc Hs' B) as (v & Ev & Lv). rewrite Ev. cbn [oadd].
      assert (O1 : (xs i <= own_term F r fl i)%Z).
      { unfold own_term. rewrite A, (bk_max m layout Hlay) in Ix. assert (El : pred (f_nb F) = length layout) by (cbn [frame_of f_nb]; rewrite app_length; simpl; lia). rewrite El.
        destruct (look_ge _ _ _ Ix) as (y & -> & Ly). exact Ly. }
      destruct (match c with 0%nat => None | S c' => oadd (bst n (S i) c') (other_term g r fl i) end) as [z|]; cbn [omax]; eexists; (split; [reflexivity|]); lia.
    + apply existsb_eqb in A. destruct c as [|c']; [discriminate|]. destruct (IH (S i) c' q ltac:(lia) ltac:(lia) Hs' B) as (v & Ev & Lv). rewrite Ev. cbn [oadd].
      assert (O1 : (xs i <= other_term g r fl i)%Z).
      { unfold other_term. destruct (g_token _ A) as [_ Ib]. destruct (look_ge _ _ _ Ix) as (y & Ey & Ly).
        destruct (omaxl_ge (map (fun b => look b (r i)) (snd g)) y) as (z & -> & Lz); [apply in_map_iff; exists (bk (tok ts i)); split; [exact Ey|exact Ib]|]. cbn [value_or]. lia. }
      destruct (oadd (bst n (S i) (S c')) (own_term F r fl i)) as [z|]; cbn [omax]; eexists; (split; [reflexivity|]); lia.
Qed.
End Sum.

Lemma group_good ls gm ts : remains N E m qs layout zmu ls gm -> forallb (fun l : left => loses_group E F g (snd l)) ls = true ->
  ok V (S k) ts -> pattern C 0 ts = true -> good N O m (omin gm (Some (margin_of (evs E) zmu))) ts = true.
Proof.
  intros HR Hl Hok Hp. pose proof (pattern_input ts Hp Hok) as I. destruct (good N O m _ ts) eqn:Eg; [reflexivity|]. exfalso.
  destruct (not_good_held N E HE m qs layout zmu Hm Hfits Hlay Hmu ls gm HR ts I Eg) as (l & Il & _ & (xs & Hxs) & Hs & _).
  specialize (Hs xs Hxs). rewrite forallb_forall in Hl. specialize (Hl l Il). unfold loses_group in Hl. cbv zeta in Hl.
  destruct (best_sum (snd l) xs ts (fun i Hi => proj1 (Hxs i Hi)) k 0 C ts ltac:(lia) (le_n _) ltac:(intros; reflexivity) Hp) as (v & Ev & Lv).
  rewrite Ev in Hl. apply Z.ltb_lt in Hl. pose proof (zmax_ge snd _ _ (proj1 (Hxs k (le_n _)))) as Top. cbn [snd] in Top. cbn [Zsum] in Hs. cbn [Nat.add] in Lv.
  change (Zsum k (fun p => xs p)) with (Zsum k xs) in Lv. lia.
Qed.
End OneGroup.

Lemma distinct_spec x l : distinct (x :: l) = true -> ~ In x l /\ distinct l = true.
Proof. cbn [distinct]. intros H. apply andb_prop in H as [A B]. split; [|exact B]. intros I. apply existsb_eqb in I. rewrite I in A. discriminate. Qed.

Lemma groups_mass (passes : group -> bool) groups : forall P : list nat -> bool, forallb (group_valid E F) groups = true -> distinct (map fst groups) = true ->
  (forall g ts, In g groups -> passes g = true -> ok V (S k) ts -> pattern g (fst g) 0 ts = true -> P ts = true) ->
  (lsum (fun g => if passes g then group_weight E W F g else 0) groups <= massi W 0 V (S k) P)%Z.
Proof.
  induction groups as [|g groups IH]; intros P Hv Hd HP; [simpl; apply massi_nonneg, HW|].
  cbn [forallb] in Hv. apply andb_prop in Hv as [Hg Hv]. cbn [map] in Hd. apply distinct_spec in Hd as [Nd Hd]. cbn [lsum].
  destruct (passes g) eqn:Ep.
  - rewrite (massi_split W V 0 (S k) P (pattern g (fst g) 0)).
    assert (A : massi W 0 V (S k) (fun ts => P ts && pattern g (fst g) 0 ts)%bool = group_weight E W F g).
    { unfold group_weight. change (f_m F) with m. change (f_qs F) with qs. rewrite <- (pattern_mass g Hg k 0 (fst g)) by lia. apply massi_ext. intros ts Hok.
      destruct (pattern g (fst g) 0 ts) eqn:Et; [rewrite (HP g ts (or_introl eq_refl) Ep Hok Et)|rewrite andb_false_r]; reflexivity. }
    rewrite A. enough (lsum (fun g => if passes g then group_weight E W F g else 0) groups <= massi W 0 V (S k) (fun ts => P ts && negb (pattern g (fst g) 0 ts))%bool)%Z by lia.
    apply IH; [exact Hv|exact Hd|]. intros g' ts Ig Ep' Hok Et. rewrite (HP g' ts (or_intror Ig) Ep' Hok Et). cbn [andb]. apply negb_true_iff. apply not_true_iff_false. intros Et'.
    apply Nd. rewrite forallb_forall in Hv. apply (pattern_others g Hg) in Et'. apply (pattern_others g' (Hv g' Ig)) in Et. rewrite <- Et'. rewrite Et. apply in_map. exact Ig.
  - apply (IH P Hv Hd). intros g' ts Ig. apply HP. right. exact Ig.
Qed.

(** SPEC-7.14 *)
Theorem copies_sound ls gm groups right : remains N E m qs layout zmu ls gm -> copies_right E W F ls groups = Some right ->
  (cellmass W V k m qs (fun ts => negb (good N O m (omin gm (Some (margin_of (evs E) zmu))) ts)) <= cellsize W k m qs - right)%Z.
Proof.
  intros HR H. unfold copies_right in H. destruct (_ && _)%bool eqn:Hc; [|discriminate]. injection H as <-. apply andb_prop in Hc as [Hd Hv].
  rewrite (cellsize_sound W V k m qs Hm Hfits).
  rewrite (cellmass_split W V k m qs (fun _ => true) (good N O m (omin gm (Some (margin_of (evs E) zmu))))). cbn [andb].
  set (G1 := omin gm (Some (margin_of (evs E) zmu))). change (fun ts => good N O m G1 ts) with (good N O m G1).
  enough (lsum (fun g => if forallb (fun l : left => loses_group E F g (snd l)) ls then group_weight E W F g else 0) groups <= cellmass W V k m qs (good N O m G1))%Z by lia.
  rewrite cellmass_mass by apply Hfits. apply groups_mass; [exact Hv|exact Hd|].
  intros g ts Ig Ep Hok Et. rewrite forallb_forall in Hv. apply andb_true_intro. split.
  - apply (input_in E). apply (pattern_input g (Hv g Ig)); assumption.
  - apply (group_good g (Hv g Ig) ls gm); assumption.
Qed.
End Sound.
