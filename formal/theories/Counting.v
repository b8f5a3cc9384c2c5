(** SPEC-7.9, SPEC-7.10: inputs that may fail, or that do, counted through rounded deficits. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme Screen Enumerate Tie Leaf Polynomial.
Import ListNotations.
Open Scope R_scope.

(** ** The program *)
Definition share := (Z * list nat)%type.      (* bins, and the answers they are spent on *)
Definition ceil_div (a b : Z) : Z := (- (- a / b))%Z.
Definition val (o : option Z) : Z := match o with Some x => x | None => 0%Z end.

Section Program.
Variables (E : env) (W : nat -> nat -> Z) (F : frame).
Notation k := (ek E).
Notation nb := (f_nb F).

(** The largest term of some answers, per position and block. *)
Definition merged (rs : list rows) : nat -> nat -> option Z :=
  memo (S k) (fun i => memo nb (fun b => omaxl (map (fun r : rows => look b (r i)) rs)) None) (fun _ => None).
Definition present (g : nat -> nat -> option Z) (i b : nat) : bool :=
  ((match g i b with Some _ => true | None => false end) && inhabited (tokens_at E F i b))%bool.
Definition counted (g : nat -> nat -> option Z) (bins : Z) (round : Z -> Z -> Z) : Z :=
  let blks := memo (S k) (fun i => filter (present g i) (seq 0 nb)) [] in
  let tops := memo (S k) (fun i => zmax (fun b => val (g i b)) (blks i)) 0%Z in
  let total := Zsum (S k) tops in
  if (total <? 0)%Z then 0%Z else
  let step := ((if (bins =? 0)%Z then total else total / bins) + 1)%Z in
  let item i b := (round (tops i - val (g i b)) step, lsum (W i) (tokens_at E F i b))%Z in
  let count bs := within (memo (S k) (fun i => map (item i) (bs i)) []) (S k) (total / step) in
  (count blks - (if f_forced F then count (fun i => filter (fun b => negb (Nat.eqb b (pred nb))) (blks i)) else 0))%Z.

Definition named (l : left) (answers : list nat) : bool := existsb (Nat.eqb (fst (fst l))) answers.
Fixpoint shares_upper (rest : list left) (shares : list share) : option Z :=
  match shares with
  | [] => match rest with [] => Some 0%Z | _ => None end
  | s :: more =>
      let takes l := match snd s with [] => true | a => named l a end in
      let chosen := filter takes rest in
      match shares_upper (filter (fun l => negb (takes l)) rest) more with
      | None => None
      | Some u => Some (u + match chosen with [] => 0 | _ => counted (merged (map snd chosen)) (fst s) Z.div end)%Z
      end
  end.
Definition one_lower (bins : Z) (l : left) : Z :=
  counted (merged [rows_of E lower_term F 0 (fst (fst l)) (snd (fst l))]) bins ceil_div.
Definition shares_lower (exact : bool) (ls : list left) (shares : list share) : option Z :=
  match shares with
  | [] => Some 0%Z
  | _ => if exact then
           Some (fold_right Z.max 0%Z (flat_map (fun s => map (one_lower (fst s)) (filter (fun l => named l (snd s)) ls)) shares))
         else None
  end.
End Program.

(** ** What it proves *)
Section Sound.
Variables (N : net) (E : env) (W : nat -> nat -> Z).
Hypothesis HE : holds N E.
Hypothesis HW : forall i t, (0 <= W i t)%Z.
Notation k := (ek E). Notation V := (eV E). Notation O := (eO E). Notation U := (p2 (evs E)).
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

Lemma small_spec (toks : nat -> nat -> list nat) blks d s : forall i D, small (fun t => bk t) toks blks d i D s = true <->
  (forall p, (p < length s)%nat -> In (nth p s 0%nat) (flat_map (toks (i + p)%nat) (blks (i + p)%nat))) /\ (Zsum (length s) (fun p => d (i + p)%nat (bk (nth p s 0%nat))) <= D)%Z.
Proof.
  assert (Sh : forall n (f : nat -> Z), Zsum (S n) f = (f 0%nat + Zsum n (fun p => f (S p)))%Z).
  { induction n; intros f; [simpl; lia|]. cbn [Zsum]. cbn [Zsum] in IHn. rewrite IHn. lia. }
  induction s as [|t s IH]; intros i D.
  - cbn [small length Zsum]. rewrite Z.leb_le. split; [intros H; split; [intros p Hp; lia|exact H]|intros [_ H]; exact H].
  - cbn [small]. rewrite andb_true_iff, IH, existsb_eqb. cbn [length]. rewrite Sh. cbn [nth]. rewrite Nat.add_0_r.
    rewrite (Zsum_ext _ (fun p => d (i + S p)%nat (bk (nth p s 0%nat))) (fun p => d (S i + p)%nat (bk (nth p s 0%nat)))) by (intros p _; replace (i + S p)%nat with (S i + p)%nat by lia; reflexivity). split.
    + intros [A [B C]]. split; [|lia]. intros [|p] Hp; [rewrite Nat.add_0_r; exact A|]. replace (i + S p)%nat with (S i + p)%nat by lia. apply B. lia.
    + intros [A B]. split; [specialize (A 0%nat ltac:(lia)); rewrite Nat.add_0_r in A; exact A|]. split; [|lia].
      intros p Hp. specialize (A (S p) ltac:(lia)). replace (i + S p)%nat with (S i + p)%nat in A by lia. exact A.
Qed.

Section Counted.
Variables (g : nat -> nat -> option Z) (bins : Z) (round : Z -> Z -> Z).
Hypothesis round_nonneg : forall a b, (0 <= a)%Z -> (0 < b)%Z -> (0 <= round a b)%Z.
Hypothesis bins_nonneg : (0 <= bins)%Z.
Notation blks := (memo (S k) (fun i => filter (present E F g i) (seq 0 nb)) []).
Notation tops := (memo (S k) (fun i => zmax (fun b => val (g i b)) (blks i)) 0%Z).
Notation total := (Zsum (S k) tops).
Notation step := ((if (bins =? 0)%Z then total else total / bins) + 1)%Z.
Notation d := (fun i b => round (tops i - val (g i b)) step).
Notation noblks := (fun i => filter (fun b => negb (Nat.eqb b (pred nb))) (blks i)).
Notation toks := (tokens_at E F).

Lemma c_blks i b : In b (blks i) -> (i <= k)%nat /\ (b < nb)%nat /\ g i b <> None /\ inhabited (toks i b) = true.
Proof.
  intros I. destruct (Nat.le_gt_cases i k) as [Hi|Hi].
  - rewrite (memo_eq (S k)) in I by lia. apply filter_In in I as [A B]. apply in_seq in A. unfold present in B. apply andb_prop in B as [B C].
    repeat split; [exact Hi|lia| |exact C]. destruct (g i b); [discriminate|discriminate].
  - exfalso. unfold memo in I. rewrite nth_overflow in I by (rewrite map_length, seq_length; lia). destruct I.
Qed.
Lemma in_c_blks i b x : (i <= k)%nat -> (b < nb)%nat -> g i b = Some x -> inhabited (toks i b) = true -> In b (blks i).
Proof.
  intros Hi Hb Hg Hin. rewrite (memo_eq (S k)) by lia. apply filter_In. split; [apply in_seq; lia|]. unfold present. rewrite Hg, Hin. reflexivity.
Qed.
Lemma c_top i b : In b (blks i) -> (val (g i b) <= tops i)%Z.
Proof. intros I. destruct (c_blks i b I) as [Hi _]. rewrite (memo_eq (S k) _ 0%Z) by lia. apply (zmax_ge (fun b => val (g i b))). exact I. Qed.
Lemma c_step : (0 <= total)%Z -> (0 < step)%Z.
Proof. intros H. destruct (Z.eqb_spec bins 0); [lia|]. assert (0 <= total / bins)%Z by (apply Z.div_pos; lia). lia. Qed.

(** The inputs that are counted. *)
Definition counts (ts : list nat) : bool :=
  ((0 <=? total)%Z && small (fun t => bk t) toks blks d 0 (total / step) ts &&
   (negb (f_forced F) || negb (small (fun t => bk t) toks noblks d 0 (total / step) ts)))%bool.

Lemma toks_nodup i b : NoDup (toks i b).
Proof.
  destruct (Nat.lt_ge_cases b nb) as [Hb|Hb].
  - assert (A : NoDup (f_blk F b)).
    { rewrite (frame_blk E m qs layout b Hb). pose proof (seq_NoDup (S m) 0) as ND. rewrite <- (concat_blocks m layout Hlay) in ND.
      clear - ND Hb. revert b Hb. induction blocks as [|x l IH]; intros b Hb; [simpl in Hb; lia|]. simpl in ND. destruct b as [|b].
      - simpl. clear - ND. induction x as [|y x IHx]; [constructor|]. simpl in ND. inversion ND; subst. constructor; [rewrite in_app_iff in H1; tauto|auto].
      - simpl. apply IH; [apply NoDup_app_r in ND; exact ND|simpl in Hb; lia]. }
    unfold tokens_at. destruct (i <? k)%nat; [exact A|apply NoDup_filter; exact A].
  - unfold tokens_at. replace (f_blk F b) with (@nil nat); [destruct (i <? k)%nat; constructor|].
    symmetry. unfold frame_of. cbn [f_blk]. unfold memo. apply nth_overflow. rewrite map_length, seq_length. exact Hb.
Qed.

Lemma within_mass bs : (forall i, (i <= k)%nat -> NoDup (bs i)) -> (forall i b, In b (bs i) -> In b (blks i)) -> (0 <= total)%Z ->
  within (memo (S k) (fun i => map (fun b => (d i b, lsum (W i) (toks i b))) (bs i)) []) (S k) (total / step)
  = massi W 0 V (S k) (small (fun t => bk t) toks bs d 0 (total / step)).
Proof.
  intros ND Sub Ht. pose proof (c_step Ht) as Hs.
  assert (Cov : forall i, (k < i)%nat -> bs i = []).
  { intros i Hi. destruct (bs i) as [|b l] eqn:Eb; [reflexivity|]. exfalso. assert (I : In b (bs i)) by (rewrite Eb; left; reflexivity). apply Sub, c_blks in I. lia. }
  assert (Ei : forall i, memo (S k) (fun i => map (fun b => (d i b, lsum (W i) (toks i b))) (bs i)) [] i = items_of W toks bs d i).
  { intros i. unfold items_of. destruct (Nat.le_gt_cases i k) as [Hi|Hi]; [apply (memo_eq (S k) (fun i => map (fun b => (d i b, lsum (W i) (toks i b))) (bs i)) [] i); lia|]. rewrite (Cov i Hi). unfold memo. apply nth_overflow. rewrite map_length, seq_length. lia. }
  assert (Nn : forall i e, In e (items_of W toks bs d i) -> (0 <= fst e /\ 0 <= snd e)%Z).
  { intros i e I. unfold items_of in I. apply in_map_iff in I as (b & <- & Ib). cbn [fst snd]. split.
    - apply round_nonneg; [pose proof (c_top i b (Sub i b Ib)); lia|exact Hs].
    - apply lsum_nonneg. intros; apply HW. }
  rewrite within_choices.
  - rewrite <- (choices_mass W V (fun t => bk t) toks bs d).
    + f_equal. f_equal. assert (G : forall n i, choices (memo (S k) (fun i => map (fun b => (d i b, lsum (W i) (toks i b))) (bs i)) []) n i = choices (items_of W toks bs d) n i).
      { induction n; intros i; [reflexivity|]. cbn [choices]. rewrite Ei, IHn. reflexivity. }
      apply G.
    + intros i b t Ib It. destruct (c_blks i b (Sub i b Ib)) as (_ & Hb & _). apply (tokens_at_bk E m qs layout Hlay i b t Hb It).
    + intros i b t Ib It. destruct (c_blks i b (Sub i b Ib)) as (_ & Hb & _). pose proof (tokens_at_bk E m qs layout Hlay i b t Hb It). lia.
    + apply toks_nodup.
    + intros i. destruct (Nat.le_gt_cases i k) as [Hi|Hi]; [apply ND, Hi|rewrite (Cov i Hi); constructor].
  - intros i e I. rewrite Ei in I. apply (Nn i e I).
  - apply Z.div_pos; lia.
Qed.

(** SPEC-7.9, SPEC-7.10 *)
Theorem counted_counts : counted E W F g bins round = massi W 0 V (S k) counts.
Proof.
  unfold counted. change (f_nb F) with nb. cbv zeta. unfold counts. destruct (Z.ltb_spec total 0) as [L|L].
  - symmetry. apply massi_false. intros ts _. destruct (Z.leb_spec 0 total); [lia|reflexivity].
  - destruct (Z.leb_spec 0 total); [|lia]. cbn [andb].
    assert (ND : forall i, (i <= k)%nat -> NoDup (blks i)) by (intros i Hi; rewrite (memo_eq (S k)) by lia; apply NoDup_filter, seq_NoDup).
    rewrite (within_mass blks ND (fun i b I => I) L). destruct (f_forced F).
    + rewrite (within_mass noblks (fun i Hi => NoDup_filter _ (ND i Hi)) (fun i b I => proj1 (proj1 (filter_In _ _ _) I)) L). cbn [negb orb].
      rewrite (massi_split W V 0 (S k) (small (fun t => bk t) toks blks d 0 (total / step)) (small (fun t => bk t) toks noblks d 0 (total / step))).
      rewrite (massi_ext W V 0 (S k) (fun ts => small (fun t => bk t) toks blks d 0 (total / step) ts && small (fun t => bk t) toks noblks d 0 (total / step) ts)%bool (small (fun t => bk t) toks noblks d 0 (total / step))); [lia|].
      intros ts _. apply eq_true_iff_eq. rewrite andb_true_iff. split; [intros [_ B]; exact B|]. intros B. split; [|exact B].
      apply small_spec in B as [A B]. apply small_spec. split; [|exact B]. intros p Hp. specialize (A p Hp). apply in_flat_map in A as (b & Ib & It). apply filter_In in Ib as [Ib _].
      apply in_flat_map. eauto.
    + cbn [negb orb]. rewrite Z.sub_0_r. apply massi_ext. intros ts _. rewrite andb_true_r. reflexivity.
Qed.
End Counted.

Lemma merged_eq rs i b : (i <= k)%nat -> (b < nb)%nat -> merged E F rs i b = omaxl (map (fun r : rows => look b (r i)) rs).
Proof.
  intros Hi Hb. unfold merged. change (f_nb F) with nb. rewrite (memo_eq (S k)) by lia. exact (memo_eq nb (fun b => omaxl (map (fun r : rows => look b (r i)) rs)) None b Hb).
Qed.

Definition loses (l : left) (ts : list nat) : Prop :=
  held N E m qs layout zmu (snd l) (fst (fst l)) ts /\
  forall xs, (forall i, (i <= k)%nat -> In (bk (tok ts i), xs i) (snd l i) /\ real_term N E m qs layout zmu (fst (fst l)) ts i <= IZR (xs i)) -> (0 <= Zsum (S k) xs)%Z.

(** An input that an answer of the share may win is counted. *)
Lemma share_counts chosen bins ts l : (0 <= bins)%Z -> input ts -> In l chosen -> loses l ts -> counts (merged E F (map snd chosen)) bins Z.div ts = true.
Proof.
  intros Hb I Il [(xs & Hxs) Hsum]. set (g := merged E F (map snd chosen)).
  assert (Hg : forall i, (i <= k)%nat -> exists y, g i (bk (tok ts i)) = Some y /\ (xs i <= y)%Z).
  { intros i Hi. destruct (bk_spec m layout Hlay (tok ts i) (i_le E m qs ts I i Hi)) as [Hbk _]. unfold g. rewrite merged_eq by assumption.
    destruct (look_ge _ _ _ (proj1 (Hxs i Hi))) as (z & Ez & Lz).
    destruct (omaxl_ge (map (fun r : rows => look (bk (tok ts i)) (r i)) (map snd chosen)) z) as (y & Ey & Ly); [|exists y; split; [exact Ey|lia]].
    apply in_map_iff. exists (snd l). split; [exact Ez|apply in_map; exact Il]. }
  set (bl := memo (S k) (fun i => filter (present E F g i) (seq 0 nb)) []).
  set (tops := memo (S k) (fun i => zmax (fun b => val (g i b)) (bl i)) 0%Z). set (total := Zsum (S k) tops).
  assert (Inb : forall i, (i <= k)%nat -> In (bk (tok ts i)) (bl i)).
  { intros i Hi. destruct (bk_spec m layout Hlay (tok ts i) (i_le E m qs ts I i Hi)) as [Hbk _]. destruct (Hg i Hi) as (y & Ey & _).
    apply (in_c_blks g i _ y Hi Hbk Ey). pose proof (token_at E m qs layout Hm Hlay ts i I Hi) as J. destruct (tokens_at E F i (bk (tok ts i))); [destruct J|reflexivity]. }
  assert (Tg : forall i, (i <= k)%nat -> (xs i <= val (g i (bk (tok ts i))) <= tops i)%Z).
  { intros i Hi. destruct (Hg i Hi) as (y & Ey & Ly). split; [rewrite Ey; exact Ly|]. apply (c_top g i _ (Inb i Hi)). }
  assert (S0 : (0 <= Zsum (S k) xs)%Z) by (apply Hsum; exact Hxs).
  assert (Tot : (Zsum (S k) xs <= total)%Z) by (apply Zsum_le; intros i Hi; specialize (Tg i ltac:(lia)); lia).
  unfold counts. fold bl. fold tops. fold total.
  set (step := ((if (bins =? 0)%Z then total else total / bins) + 1)%Z).
  assert (Hs : (0 < step)%Z) by (unfold step; destruct (Z.eqb_spec bins 0); [lia|]; assert (0 <= total / bins)%Z by (apply Z.div_pos; lia); lia).
  pose proof (proj1 (i_ok E m qs ts I)) as Lts.
  apply andb_true_intro. split; [apply andb_true_intro; split; [apply Z.leb_le; lia|]|].
  - apply small_spec. rewrite Lts. cbn [Nat.add]. split.
    + intros p Hp. apply in_flat_map. exists (bk (tok ts p)). split; [apply Inb; lia|apply token_at; [exact Hm|exact Hlay|exact I|lia]].
    + apply Z.div_le_lower_bound; [exact Hs|].
      apply Z.le_trans with (Zsum (S k) (fun p => tops p - val (g p (bk (tok ts p)))))%Z.
      * assert (G : forall n (f h : nat -> Z), (forall p, (p < n)%nat -> step * f p <= h p)%Z -> (step * Zsum n f <= Zsum n h)%Z).
        { induction n; intros f h H; [simpl; lia|]. cbn [Zsum]. specialize (IHn f h (fun p Hp => H p ltac:(lia))). specialize (H n ltac:(lia)). lia. }
        apply G. intros p Hp. apply Z.mul_div_le. exact Hs.
      * assert (G : forall n (f h : nat -> Z), (Zsum n (fun p => f p - h p) = Zsum n f - Zsum n h)%Z) by (induction n; intros; cbn [Zsum]; [lia|rewrite IHn; lia]).
        rewrite G. fold total. assert (Zsum (S k) xs <= Zsum (S k) (fun p => val (g p (bk (tok ts p)))))%Z by (apply Zsum_le; intros i Hi; specialize (Tg i ltac:(lia)); lia). lia.
  - destruct (f_forced F) eqn:Ff; [|reflexivity]. cbn [negb orb]. apply negb_true_iff. apply not_true_iff_false. intros Sm. apply small_spec in Sm as [A _]. rewrite Lts in A.
    destruct (forced_max E m qs layout Hm Hfits Hlay ts I Ff) as (p & Hp & Ep). specialize (A p ltac:(lia)). cbn [Nat.add] in A.
    apply in_flat_map in A as (b & Ib & It). apply filter_In in Ib as [Ib Nl]. apply negb_true_iff, Nat.eqb_neq in Nl.
    destruct (c_blks g p b Ib) as (_ & Hbb & _). destruct (tokens_at_bk E m qs layout Hlay p b _ Hbb It) as [Eb _]. fold (tok ts p) in Eb. congruence.
Qed.

Lemma shares_upper_sound shares : forall rest u, Forall (fun s : share => (0 <= fst s)%Z) shares -> shares_upper E W F rest shares = Some u ->
  forall P : list nat -> bool, (forall ts, ok V (S k) ts -> P ts = true -> input ts /\ exists l, In l rest /\ loses l ts) -> (massi W 0 V (S k) P <= u)%Z.
Proof.
  induction shares as [|s more IH]; intros rest u Hf Hu P HP.
  - cbn [shares_upper] in Hu. destruct rest; [|discriminate]. injection Hu as <-. rewrite massi_false; [lia|]. intros ts Hok. destruct (P ts) eqn:Ep; [|reflexivity].
    destruct (HP ts Hok Ep) as (_ & l & [] & _).
  - inversion Hf as [|? ? Hs Hf']; subst. cbn [shares_upper] in Hu. cbv zeta in Hu. set (takes := fun l => match snd s with [] => true | a => named l a end) in Hu.
    set (chosen := filter takes rest) in Hu. destruct (shares_upper E W F _ more) as [u'|] eqn:Eu; [|discriminate]. injection Hu as <-.
    set (Q := counts (merged E F (map snd chosen)) (fst s) Z.div).
    rewrite (massi_split W V 0 (S k) P (fun ts => match chosen with [] => false | _ => Q ts end)).
    assert (A : (massi W 0 V (S k) (fun ts => P ts && match chosen with [] => false | _ => Q ts end)%bool <= match chosen with [] => 0 | _ => counted E W F (merged E F (map snd chosen)) (fst s) Z.div end)%Z).
    { destruct chosen as [|c0 cs] eqn:Ec.
      - rewrite massi_false; [lia|]. intros ts _. apply andb_false_r.
      - rewrite counted_counts by (try exact Hs; intros; apply Z.div_pos; lia). apply massi_le; [exact HW|]. intros ts _ X. apply andb_prop in X. apply X. }
    assert (B : (massi W 0 V (S k) (fun ts => P ts && negb match chosen with [] => false | _ => Q ts end)%bool <= u')%Z).
    { apply (IH _ _ Hf' Eu). intros ts Hok X. apply andb_prop in X as [X Y]. destruct (HP ts Hok X) as (I & l & Il & Ll). split; [exact I|]. exists l. split; [|exact Ll].
      apply filter_In. split; [exact Il|]. apply negb_true_iff. apply not_true_iff_false. intros Tk.
      assert (J : In l chosen) by (apply filter_In; auto). pose proof (share_counts chosen (fst s) ts l Hs I J Ll) as C. fold Q in C.
      destruct chosen; [destruct J|]. rewrite C in Y. discriminate. }
    lia.
Qed.

(** SPEC-7.9 *)
Theorem count_upper ls g shares u : remains N E m qs layout zmu ls g -> Forall (fun s : share => (0 <= fst s)%Z) shares -> shares_upper E W F ls shares = Some u ->
  (cellmass W V k m qs (fun ts => negb (good N O m (omin g (Some (margin_of (evs E) zmu))) ts)) <= u)%Z.
Proof.
  intros HR Hf Hu. rewrite cellmass_mass by apply Hfits. apply (shares_upper_sound shares ls u Hf Hu).
  intros ts Hok X. apply andb_prop in X as [C Ng]. apply negb_true_iff in Ng. pose proof (input_of E m qs ts Hok C) as I. split; [exact I|].
  destruct (not_good_held N E HE m qs layout zmu Hm Hfits Hlay Hmu ls g HR ts I Ng) as (l & Il & _ & Hd & Hs & _). exists l. split; [exact Il|]. split; assumption.
Qed.

(** ** 7.10 *)
Lemma ceil_div_ge a b : (0 < b)%Z -> (a <= b * ceil_div a b)%Z.
Proof. intros Hb. unfold ceil_div. pose proof (Z.mul_div_le (- a) b Hb). lia. Qed.

Lemma one_lower_sound ls g bins l : remains N E m qs layout zmu ls g -> exact_cell qs layout = true -> (0 <= bins)%Z -> In l ls ->
  (one_lower E W F bins l <= cellmass W V k m qs (wrong N O m))%Z.
Proof.
  intros HR Hex Hb Il. unfold one_lower. set (r := rows_of E lower_term F 0 (fst (fst l)) (snd (fst l))). set (g0 := merged E F [r]).
  destruct (proj1 HR l Il) as [Hj Hjm].
  rewrite counted_counts.
  2:{ intros a b Ha Hb'. unfold ceil_div. assert (- a / b <= 0)%Z by (apply Z.div_le_upper_bound; lia). lia. }
  2:{ exact Hb. }
  rewrite cellmass_mass by apply Hfits. apply massi_le; [exact HW|]. intros ts [Lts Bts] C. unfold counts in C.
  set (bl := memo (S k) (fun i => filter (present E F g0 i) (seq 0 nb)) []) in C.
  set (tops := memo (S k) (fun i => zmax (fun b => val (g0 i b)) (bl i)) 0%Z) in C. set (total := Zsum (S k) tops) in C.
  set (step := ((if (bins =? 0)%Z then total else total / bins) + 1)%Z) in C.
  apply andb_prop in C as [C NL]. apply andb_prop in C as [T0 Sm]. apply Z.leb_le in T0. apply small_spec in Sm as [Al Sd]. rewrite Lts in Al, Sd. cbn [Nat.add] in Al, Sd.
  assert (Hs : (0 < step)%Z) by (unfold step; destruct (Z.eqb_spec bins 0); [lia|]; assert (0 <= total / bins)%Z by (apply Z.div_pos; lia); lia).
  assert (Tk : forall p, (p <= k)%nat -> In (bk (tok ts p)) (bl p) /\ (bk (tok ts p) < nb)%nat /\ (tok ts p <= m)%nat /\ In (tok ts p) (tokens_at E F p (bk (tok ts p)))).
  { intros p Hp. specialize (Al p ltac:(lia)). apply in_flat_map in Al as (b & Ib & It). destruct (c_blks g0 p b Ib) as (_ & Hbb & _).
    destruct (tokens_at_bk E m qs layout Hlay p b _ Hbb It) as [Eb Le]. fold (tok ts p) in *. rewrite Eb. auto. }
  assert (I : input ts).
  { constructor.
    - split; [exact Lts|exact Bts].
    - intros p Hp. apply Tk. exact Hp.
    - destruct (f_forced F) eqn:Ff.
      + cbn [negb orb] in NL. apply negb_true_iff in NL.
        assert (D : (exists p, (p <= k)%nat /\ bk (tok ts p) = pred nb) \/ (forall p, (p <= k)%nat -> bk (tok ts p) <> pred nb)).
        { clear. assert (G : forall n, (exists p, (p < n)%nat /\ bk (tok ts p) = pred nb) \/ (forall p, (p < n)%nat -> bk (tok ts p) <> pred nb)).
          { induction n as [|n [(p & ? & ?)|IH]]; [right; intros; lia|left; exists p; split; [lia|assumption]|].
            destruct (Nat.eq_dec (bk (tok ts n)) (pred nb)); [left; exists n; auto|right]. intros p Hp. destruct (Nat.eq_dec p n) as [->|]; [assumption|apply IH; lia]. }
          destruct (G (S k)) as [(p & ? & ?)|A]; [left; exists p; split; [lia|assumption]|right; intros; apply A; lia]. }
        destruct D as [(p & Hp & Ep)|Nn].
        * exists p. split; [exact Hp|]. apply (bk_only_max m layout Hlay); [apply Tk, Hp|]. rewrite Ep, app_length. simpl. lia.
        * exfalso. apply not_true_iff_false in NL. apply NL. apply small_spec. rewrite Lts. cbn [Nat.add]. split; [|exact Sd].
          intros p Hp. apply in_flat_map. exists (bk (tok ts p)). destruct (Tk p ltac:(lia)) as (A & _ & _ & D). split; [|exact D].
          apply filter_In. split; [exact A|]. apply negb_true_iff, Nat.eqb_neq, Nn. lia.
      + pose proof (not_forced E m qs layout Hfits Ff) as Qm. exists k. split; [lia|]. destruct (Tk k (le_n _)) as (_ & Hbb & _ & D).
        unfold tokens_at in D. rewrite Nat.ltb_irrefl in D. apply filter_In in D as [_ D]. apply existsb_eqb in D. change (f_qs F) with qs in D. rewrite Qm in D. destruct D as [D|[]]. symmetry. exact D.
    - destruct (Tk k (le_n _)) as (_ & _ & _ & D). unfold tokens_at in D. rewrite Nat.ltb_irrefl in D. apply filter_In in D as [_ D]. apply existsb_eqb in D. exact D. }
  apply andb_true_intro. split; [apply (input_in E); exact I|]. apply wrong_spec. exists (fst (fst l)). split; [exact Hj|]. split; [exact Hjm|].
  assert (Bs : forall p, (p <= k)%nat -> bk (tok ts p) = tok ts p) by (intros p Hp; apply (bk_single E m layout Hm Hlay); [apply (exact_single qs layout Hex)|apply Tk, Hp]).
  assert (Lk : forall p, (p <= k)%nat -> exists y, look (tok ts p) (r p) = Some y /\ val (g0 p (bk (tok ts p))) = y).
  { intros p Hp. destruct (Tk p Hp) as (A & Hbb & _). destruct (c_blks g0 p _ A) as (_ & _ & Ng & _). unfold g0 in Ng |- *. rewrite merged_eq in Ng |- * by assumption. cbn [map omaxl fold_right] in Ng |- *.
    rewrite Bs in Ng |- * by exact Hp. destruct (look (tok ts p) (r p)) as [y|]; [|exfalso; apply Ng; reflexivity]. exists y. split; reflexivity. }
  apply (wrong_of_sum N ts (fst (fst l)) m k (evs E) (factor E m qs layout (tok ts k)) (h_ctx N E HE) (h_vs N E HE) (factor_pos N E HE m qs layout _) (Zsum (S k) (fun p => val (g0 p (bk (tok ts p)))))).
  - rewrite IZR_Zsum. apply Rsum_le. intros p Hp. destruct (Lk p ltac:(lia)) as (y & Ly & ->).
    apply (lower_row N E HE m qs layout Hm Hfits Hlay Hex ts (fst (fst l)) (snd (fst l)) p y I Hj); [lia|exact Ly].
  - assert (G : forall n (f h : nat -> Z), (forall p, (p < n)%nat -> h p <= step * f p)%Z -> (Zsum n h <= step * Zsum n f)%Z).
    { induction n; intros f h H; [simpl; lia|]. cbn [Zsum]. specialize (IHn f h (fun p Hp => H p ltac:(lia))). specialize (H n ltac:(lia)). lia. }
    specialize (G (S k) (fun p => ceil_div (tops p - val (g0 p (bk (tok ts p)))) step) (fun p => tops p - val (g0 p (bk (tok ts p))))%Z (fun p _ => ceil_div_ge _ _ Hs)).
    assert (Sub : forall n (f h : nat -> Z), (Zsum n (fun p => f p - h p) = Zsum n f - Zsum n h)%Z) by (induction n; intros; cbn [Zsum]; [lia|rewrite IHn; lia]).
    rewrite Sub in G. fold total in G. pose proof (Z.mul_div_le total step Hs).
    assert (step * Zsum (S k) (fun p => ceil_div (tops p - val (g0 p (bk (tok ts p)))) step) <= step * (total / step))%Z by (apply Z.mul_le_mono_nonneg_l; [lia|exact Sd]). lia.
Qed.

(** SPEC-7.10 *)
Theorem count_lower ls g shares u : remains N E m qs layout zmu ls g -> Forall (fun s : share => (0 <= fst s)%Z) shares ->
  shares_lower E W F (exact_cell qs layout) ls shares = Some u -> (u <= cellmass W V k m qs (wrong N O m))%Z.
Proof.
  intros HR Hf Hu. assert (Z0 : (0 <= cellmass W V k m qs (wrong N O m))%Z) by (apply cellmass_nonneg, HW). unfold shares_lower in Hu. destruct shares as [|s0 more] eqn:Es; [injection Hu as <-; exact Z0|].
  rewrite <- Es in *. clear Es. destruct (exact_cell qs layout) eqn:Hex; [|discriminate]. injection Hu as <-.
  assert (A : forall x, In x (flat_map (fun s => map (one_lower E W F (fst s)) (filter (fun l => named l (snd s)) ls)) shares) -> (x <= cellmass W V k m qs (wrong N O m))%Z).
  { intros x I. apply in_flat_map in I as (s & Is & I). apply in_map_iff in I as (l & <- & Il). apply filter_In in Il as [Il _].
    apply (one_lower_sound ls g); [exact HR|exact Hex| |exact Il]. rewrite Forall_forall in Hf. apply Hf, Is. }
  assert (G : forall cs, (forall x, In x cs -> (x <= cellmass W V k m qs (wrong N O m))%Z) -> (fold_right Z.max 0 cs <= cellmass W V k m qs (wrong N O m))%Z).
  { induction cs as [|x xs IH]; intros H; simpl; [exact Z0|]. pose proof (H x (or_introl eq_refl)). specialize (IH (fun y I => H y (or_intror I))). lia. }
  apply G. exact A.
Qed.
End Sound.
