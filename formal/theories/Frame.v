(** SPEC-7.3, SPEC-7.5: a cell with its blocks and weights, and its terms. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms.
Import ListNotations.
Open Scope R_scope.

(** ** Blocks *)
Fixpoint index (t : nat) (blocks : list (list nat)) : nat :=
  match blocks with [] => 0%nat | b :: r => if existsb (Nat.eqb t) b then 0%nat else S (index t r) end.
Lemma index_in t blocks : In t (concat blocks) -> (index t blocks < length blocks)%nat /\ In t (nth (index t blocks) blocks []).
Proof.
  induction blocks as [|b r IH]; simpl; [intros []|]. rewrite in_app_iff. destruct (existsb (Nat.eqb t) b) eqn:E.
  - intros _. split; [lia|]. apply existsb_eqb. exact E.
  - intros [I|I]; [apply existsb_eqb in I; congruence|]. destruct (IH I). split; [lia|assumption].
Qed.
Lemma NoDup_app_r {A} (a b : list A) : NoDup (a ++ b) -> NoDup b.
Proof. induction a; simpl; intros H; [exact H|]. inversion H; subst. auto. Qed.
Lemma index_unique t blocks b : NoDup (concat blocks) -> (b < length blocks)%nat -> In t (nth b blocks []) -> index t blocks = b.
Proof.
  revert b. induction blocks as [|a r IH]; simpl; [lia|]. intros b ND Hb I.
  destruct b as [|b].
  - apply existsb_eqb in I. rewrite I. reflexivity.
  - destruct (existsb (Nat.eqb t) a) eqn:E; [|f_equal; apply IH; [|lia|exact I]; apply NoDup_app_r in ND; exact ND].
    exfalso. apply existsb_eqb in E. assert (J : In t (concat r)). { apply in_concat. exists (nth b r []). split; [apply nth_In; lia|exact I]. }
    clear IH I Hb. revert ND E J. generalize (concat r). clear. induction a as [|x a IH]; simpl; intros l ND E J; [destruct E|].
    inversion ND as [|? ? N ND']; subst. destruct E as [->|E]; [apply N, in_app_iff; auto|eapply IH; eauto].
Qed.

Lemma in_indexed {A} (l : list A) (d : A) b x : In (b, x) (combine (seq 0 (length l)) l) <-> (b < length l)%nat /\ x = nth b l d.
Proof.
  enough (G : forall s, In (b, x) (combine (seq s (length l)) l) <-> (s <= b < s + length l)%nat /\ x = nth (b - s) l d).
  { rewrite G, Nat.sub_0_r. split; intros [? ?]; split; auto; lia. }
  induction l as [|a l IH]; intros s; simpl; [split; [intros []|intros [? _]; lia]|]. rewrite IH. split.
  - intros [[= -> ->]|[H ->]].
    + split; [lia|]. rewrite Nat.sub_diag. reflexivity.
    + split; [lia|]. replace (b - s)%nat with (S (b - S s)) by lia. reflexivity.
  - intros [H ->]. destruct (Nat.eq_dec s b) as [->|E].
    + left. rewrite Nat.sub_diag. reflexivity.
    + right. split; [lia|]. replace (b - s)%nat with (S (b - S s)) by lia. reflexivity.
Qed.

Section Layout.
Variables (m : nat) (layout : list (list nat)).
Hypothesis Hlay : concat layout = seq 0 m.
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation bk t := (index t blocks).
(** SPEC-7.3 *)
Lemma concat_blocks : concat blocks = seq 0 (S m).
Proof. rewrite concat_app, Hlay, seq_S. simpl. reflexivity. Qed.
Lemma block_tokens b t : (b < nb)%nat -> In t (nth b blocks []) -> (t <= m)%nat.
Proof.
  intros Hb I. assert (J : In t (concat blocks)) by (apply in_concat; exists (nth b blocks []); split; [apply nth_In; exact Hb|exact I]).
  rewrite concat_blocks in J. apply in_seq in J. lia.
Qed.
Lemma bk_spec t : (t <= m)%nat -> (bk t < nb)%nat /\ In t (nth (bk t) blocks []).
Proof. intros Ht. apply index_in. rewrite concat_blocks. apply in_seq. lia. Qed.
(** SPEC-7.3 *)
Lemma bk_unique t b : (b < nb)%nat -> In t (nth b blocks []) -> bk t = b.
Proof. apply index_unique. rewrite concat_blocks. apply seq_NoDup. Qed.
Lemma bk_max : bk m = length layout.
Proof. apply bk_unique; [rewrite app_length; simpl; lia|]. rewrite app_nth2, Nat.sub_diag by lia. left. reflexivity. Qed.
Lemma bk_only_max t : (t <= m)%nat -> bk t = length layout -> t = m.
Proof.
  intros Ht Eb. destruct (bk_spec t Ht) as [_ I]. rewrite Eb, app_nth2, Nat.sub_diag in I by lia. destruct I as [->|[]]. reflexivity.
Qed.
End Layout.

(** ** Sets of tokens, as bits *)
Definition mask_of (ts : list nat) : Z := fold_left (fun a t => Z.lor a (shl 1 (Z.of_nat t))) ts 0%Z.
Lemma mask_of_spec ts t : In t ts -> Z.testbit (mask_of ts) (Z.of_nat t) = true.
Proof.
  unfold mask_of. assert (G : forall ts a, Z.testbit a (Z.of_nat t) = true \/ In t ts ->
    Z.testbit (fold_left (fun a t => Z.lor a (shl 1 (Z.of_nat t))) ts a) (Z.of_nat t) = true).
  { clear. induction ts as [|x ts IH]; intros a H; simpl; [destruct H as [H|[]]; exact H|]. apply IH.
    destruct H as [H|[->|H]]; [left; rewrite Z.lor_spec, H; reflexivity|left|right; exact H].
    rewrite Z.lor_spec. unfold shl. rewrite Z.shiftl_spec by lia. replace (Z.of_nat t - Z.of_nat t)%Z with 0%Z by lia. apply orb_true_r. }
  intros I. apply G. right. exact I.
Qed.
Definition meets (a b : Z) : bool := negb (Z.land a b =? 0)%Z.
Lemma meets_spec a b t : (0 <= t)%Z -> Z.testbit a t = true -> Z.testbit b t = true -> meets a b = true.
Proof.
  intros Ht A B. unfold meets. destruct (Z.eqb_spec (Z.land a b) 0) as [E|]; [|reflexivity]. exfalso.
  assert (C : Z.testbit (Z.land a b) t = true) by (rewrite Z.land_spec, A, B; reflexivity). rewrite E, Z.bits_0 in C. discriminate.
Qed.

(** ** The program *)
Record frame := Frame {
  f_m : nat; f_qs : list nat; f_nb : nat; f_blk : nat -> list nat; f_mask : nat -> Z; f_floor : nat -> Z;
  f_w : nat -> list (nat * (Z * Z)); f_heavy : Z; f_forced : bool }.

Section Program.
Variable E : env.
Notation T := (eT E). Notation k := (ek E). Notation P := (eP E).
Definition ends (yl yh : Z) : Z * Z := exp_ends (eroot E) (ess E) P yl yh.
Definition place q i : Z := (pQKP T q i - ekappa E q)%Z.
Definition block_scores (qs : list nat) (m : nat) (b : list nat) : Z * Z :=
  (zmin (fun q => zmin (pQKE T q) b - pQKE T q m)%Z qs, zmax (fun q => zmax (pQKE T q) b - pQKE T q m)%Z qs).
Definition own_score m q : Z := (pQKE T q q - pQKE T q m + place q k)%Z.
Definition high (e : nat * (Z * Z)) : Z := snd (snd e).

Definition spans_of m qs (ib : list (nat * list nat)) := map (fun e => (fst e, block_scores qs m (snd e))) ib.
Definition own_of m qs (ib : list (nat * list nat)) : list (nat * (Z * Z)) :=
  flat_map (fun e => match filter (fun q => existsb (Nat.eqb q) (snd e)) qs with
    | [] => [] | ql => [(fst e, (zmin (own_score m) ql, zmax (own_score m) ql))] end) ib.
Definition token_ends (tt : Z) (e : nat * (Z * Z)) : nat * (Z * Z) := (fst e, ends (tt - high e) (tt - fst (snd e))).
Definition product_ends (d : Z * Z) (e : nat * (Z * Z)) : nat * (Z * Z) :=
  (fst e, (shr (fst (snd e) * fst d) P, shift_up (snd (snd e) * snd d) P)).
Definition reach_of qs i : Z * Z := (zmin (fun q => place q i) qs, zmax (fun q => place q i) qs).

Definition weights (m : nat) (qs : list nat) (blocks : list (list nat)) : nat -> list (nat * (Z * Z)) :=
  let ib := combine (seq 0 (length blocks)) blocks in
  let spans := spans_of m qs ib in
  let own := own_of m qs ib in
  let reach := memo k (reach_of qs) (0, 0)%Z in
  let tt := zmax high spans in
  let top := zmax (fun x => x) (map (fun i => tt + snd (reach i))%Z (seq 0 k) ++ map high own) in
  let tokens := map (token_ends tt) spans in
  memo (S k) (fun i => if (i <? k)%nat
    then map (product_ends (ends (top - tt - snd (reach i)) (top - tt - fst (reach i)))) tokens
    else map (token_ends top) own) [].

Definition frame_of (m : nat) (qs : list nat) (layout : list (list nat)) : frame :=
  let blocks := layout ++ [[m]] in
  let nb := length blocks in
  let blk := memo nb (fun b => nth b blocks []) [] in
  let w := weights m qs blocks in
  Frame m qs nb blk (memo nb (fun b => mask_of (blk b)) 0%Z) (memo nb (fun b => zmin (fun t => pVE T t m) (blk b)) 0%Z)
        w (Zsum (S k) (fun i => zmax high (w i))) (match qs with [q] => negb (q =? m)%nat | _ => true end).

Definition make_row (term : Z -> Z -> Z -> Z) (top : nat -> Z) (shift : Z) (keep : nat -> bool) (ws : list (nat * (Z * Z))) : list (nat * Z) :=
  map (fun e => (fst e, term (fst (snd e)) (snd (snd e)) (top (fst e) + shift)%Z)) (filter (fun e => keep (fst e)) ws).

Definition rows_of (term : Z -> Z -> Z -> Z) (F : frame) (zmu : Z) (j : nat) (allowed : nat -> Z) : nat -> list (nat * Z) :=
  let direct := (zmax (fun q => pU T q j - pU T q (f_m F)) (f_qs F) + zmu)%Z in
  let top := memo (f_nb F) (fun b => zmax (fun t => pVE T t j) (f_blk F b) - f_floor F b)%Z 0%Z in
  memo (S k) (fun i => make_row term top (pVP T i j - pVP T i (f_m F) + direct) (fun b => meets (f_mask F b) (allowed i)) (f_w F i)) [].
End Program.

(** ** What it proves *)
Section Sound.
Variables (N : net) (E : env).
Hypothesis HE : holds N E.
Notation T := (eT E). Notation k := (ek E). Notation V := (eV E). Notation P := (eP E).
Notation U := (p2 (evs E)). Notation US := (p2 (ess E)). Notation rt := (sqrt (INR (edh E))).
Variables (m : nat) (qs : list nat) (layout : list (list nat)).
Hypothesis Hm : (m < V)%nat.
Hypothesis Hqs : forall q, In q qs -> (q <= m)%nat.
Hypothesis Hlay : concat layout = seq 0 m.
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation bk t := (index t blocks).
Notation W := (weights E m qs blocks).
Notation F := (frame_of E m qs layout).

Definition total_top : Z :=
  let ib := combine (seq 0 nb) blocks in let tt := zmax high (spans_of E m qs ib) in
  zmax (fun x => x) (map (fun i => tt + snd (memo k (reach_of E qs) (0, 0)%Z i))%Z (seq 0 k) ++ map high (own_of E m qs ib)).
(** The positive factor that belongs to a query. *)
Definition factor (q : nat) : R := exp (- (IZR (pQKE T q m + ekappa E q + total_top) / US / rt)) * p2 P.

Lemma rt_pos : 0 < rt. Proof. apply sqrt_lt_R0, lt_0_INR, (h_dh0 N E HE). Qed.
Lemma US_pos : 0 < US. Proof. apply p2_pos, (h_ss N E HE). Qed.
Lemma P2_pos : 0 < p2 P. Proof using HE. clear - HE. apply p2_pos. pose proof (h_P N E HE). lia. Qed.
Lemma factor_pos q : 0 < factor q.
Proof. apply Rmult_lt_0_compat; [apply exp_pos|apply P2_pos]. Qed.

Lemma factor_weight q t i : (q < V)%nat -> (t < V)%nat -> (i <= k)%nat ->
  factor q * weight N q t i = exp (- (IZR (total_top - (pQKE T q t - pQKE T q m + place E q i)) / US / rt)) * p2 P.
Proof.
  intros Hq Ht Hi. pose proof rt_pos. pose proof US_pos. unfold factor, weight. rewrite (h_QKE N E HE), (h_QKP N E HE), (h_dh N E HE) by assumption.
  rewrite Rmult_assoc, (Rmult_comm (p2 P)), <- Rmult_assoc, <- exp_plus. f_equal. f_equal. unfold place.
  rewrite !minus_IZR, !plus_IZR, !minus_IZR. field. lra.
Qed.

(** An entry of the tables of weights encloses the weight of every token of its block. *)
Definition at_place (q i b t : nat) : Prop := (b < nb)%nat /\ In t (nth b blocks []) /\ (i = k -> t = q).

(** SPEC-6.4, SPEC-7.5 *)
Theorem weights_sound q i b t lo hi : In q qs -> (i <= k)%nat -> at_place q i b t -> In (b, (lo, hi)) (W i) ->
  IZR lo <= factor q * weight N q t i <= IZR hi.
Proof.
  intros Iq Hi (Hb & It & Ek) I. pose proof rt_pos as Hrt. pose proof US_pos as HU. pose proof P2_pos as HP2.
  assert (Hq : (q < V)%nat) by (specialize (Hqs q Iq); lia). assert (Ht : (t < V)%nat) by (pose proof (block_tokens m layout Hlay b t Hb It); lia).
  rewrite factor_weight by assumption. unfold weights in I. rewrite memo_eq in I by lia.
  set (ib := combine (seq 0 nb) blocks) in *. set (tt := zmax high (spans_of E m qs ib)) in *.
  assert (Top : total_top = zmax (fun x => x) (map (fun i => tt + snd (memo k (reach_of E qs) (0, 0)%Z i))%Z (seq 0 k) ++ map high (own_of E m qs ib))) by reflexivity.
  rewrite <- Top in I. clear Top.
  destruct (Nat.ltb_spec i k) as [Hik|Hik].
  - apply in_map_iff in I as (e' & Ee & I). apply in_map_iff in I as (e & <- & I). pose proof I as Isp. apply in_map_iff in I as ((b' & ts) & <- & I).
    apply (in_indexed blocks []) in I as [Hb' ->]. unfold product_ends, token_ends in Ee. cbn [fst snd] in Ee.
    injection Ee as -> <- <-. rewrite memo_eq by exact Hik.
    set (Sb := block_scores E qs m (nth b blocks [])) in *. unfold high. cbn [snd fst].
    set (x := (pQKE T q t - pQKE T q m)%Z). set (y := place E q i).
    assert (X : (fst Sb <= x <= snd Sb)%Z).
    { unfold Sb, block_scores. cbn [fst snd]. split.
      - eapply Z.le_trans; [apply (zmin_le _ qs q Iq)|]. cbv beta. pose proof (zmin_le (pQKE T q) _ t It). unfold x. lia.
      - eapply Z.le_trans; [|apply (zmax_ge _ qs q Iq)]. cbv beta. pose proof (zmax_ge (pQKE T q) _ t It). unfold x. lia. }
    assert (Y : (fst (reach_of E qs i) <= y <= snd (reach_of E qs i))%Z).
    { unfold reach_of. cbn [fst snd]. split; [apply (zmin_le (fun q => place E q i) qs q Iq)|apply (zmax_ge (fun q => place E q i) qs q Iq)]. }
    assert (TT : (snd Sb <= tt)%Z) by (change (snd Sb) with (high (b, Sb)); apply zmax_ge; exact Isp).
    assert (TR : (tt + snd (reach_of E qs i) <= total_top)%Z).
    { unfold total_top. fold ib. fold tt. pose proof (zmax_ge (fun x => x) (map (fun i => tt + snd (memo k (reach_of E qs) (0, 0)%Z i))%Z (seq 0 k) ++ map high (own_of E m qs ib))
        (tt + snd (reach_of E qs i))%Z) as G. apply G. apply in_app_iff. left. apply in_map_iff. exists i. rewrite memo_eq by exact Hik. split; [reflexivity|]. apply in_seq. lia. }
    unfold ends. rewrite (h_root N E HE).
    destruct (exp_ends_sound (edh E) (ess E) P (tt - snd Sb) (tt - x) (tt - fst Sb) (h_dh0 N E HE) (h_ss N E HE) (h_P N E HE) ltac:(lia) ltac:(lia)) as [A0 A].
    destruct (exp_ends_sound (edh E) (ess E) P (total_top - tt - snd (reach_of E qs i)) (total_top - tt - y) (total_top - tt - fst (reach_of E qs i)) (h_dh0 N E HE) (h_ss N E HE) (h_P N E HE) ltac:(lia) ltac:(lia)) as [B0 B].
    set (e1 := exp_ends _ _ _ _ _) in A, A0 |- *. set (e2 := exp_ends _ _ _ _ _) in B, B0 |- *.
    assert (Sp : exp (- (IZR (total_top - (x + y)) / US / rt)) = exp (- (IZR (tt - x) / US / rt)) * exp (- (IZR (total_top - tt - y) / US / rt))).
    { rewrite <- exp_plus. f_equal. rewrite !minus_IZR, plus_IZR. field. lra. }
    change (pQKE T q t - pQKE T q m + place E q i)%Z with (x + y)%Z. rewrite Sp.
    set (a := exp (- (IZR (tt - x) / US / rt))) in *. set (b0 := exp (- (IZR (total_top - tt - y) / US / rt))) in *.
    unfold encl in A, B. assert (0 < a) by apply exp_pos. assert (0 < b0) by apply exp_pos.
    assert (0 <= IZR (fst e1)) by (apply (IZR_le 0); exact A0). assert (0 <= IZR (fst e2)) by (apply (IZR_le 0); exact B0).
    assert (HP0 : (0 <= P)%Z) by (pose proof (h_P N E HE); lia).
    split; apply Rmult_le_reg_r with (p2 P); try exact HP2.
    + destruct (shr_spec (fst e1 * fst e2) P HP0) as [L _]. apply Rle_trans with (1 := L). rewrite mult_IZR.
      replace (a * b0 * p2 P * p2 P) with ((a * p2 P) * (b0 * p2 P)) by ring. apply Rmult_le_compat; lra.
    + pose proof (shift_up_spec (snd e1 * snd e2) P HP0) as L. refine (Rle_trans _ _ _ _ L). rewrite mult_IZR.
      replace (a * b0 * p2 P * p2 P) with ((a * p2 P) * (b0 * p2 P)) by ring.
      apply Rmult_le_compat; try lra; apply Rmult_le_pos; lra.
  - assert (i = k) by lia. subst i. rewrite (Ek eq_refl) in *. apply in_map_iff in I as (e & Ee & I). pose proof I as Iown.
    unfold own_of in I. apply in_flat_map in I as ((b' & ts) & I & I2). apply (in_indexed blocks []) in I as [Hb' ->]. cbn [fst snd] in I2.
    destruct (filter _ qs) as [|q0 ql0] eqn:Fq; [destruct I2|]. set (ql := q0 :: ql0) in *. destruct I2 as [<-|[]].
    unfold token_ends in Ee. unfold high in Ee. cbn [fst snd] in Ee. injection Ee as -> <- <-.
    assert (Il : In q ql). { rewrite <- Fq. apply filter_In. split; [exact Iq|]. apply existsb_eqb. exact It. }
    pose proof (zmin_le (own_score E m) ql q Il) as Lo. pose proof (zmax_ge (own_score E m) ql q Il) as Hi2.
    assert (TR : (zmax (own_score E m) ql <= total_top)%Z).
    { unfold total_top. fold ib. fold tt. pose proof (zmax_ge (fun x => x) (map (fun i => tt + snd (memo k (reach_of E qs) (0, 0)%Z i))%Z (seq 0 k) ++ map high (own_of E m qs ib))
        (zmax (own_score E m) ql)) as G. apply G. apply in_app_iff. right. apply in_map_iff. eexists. split; [|exact Iown]. reflexivity. }
    unfold ends. rewrite (h_root N E HE).
    destruct (exp_ends_sound (edh E) (ess E) P (total_top - zmax (own_score E m) ql) (total_top - own_score E m q) (total_top - zmin (own_score E m) ql)
      (h_dh0 N E HE) (h_ss N E HE) (h_P N E HE) ltac:(lia) ltac:(lia)) as [_ A]. exact A.
Qed.

(** Every token of an input has an entry. *)
Theorem weights_there q i t : In q qs -> (i <= k)%nat -> (t <= m)%nat -> (i = k -> t = q) -> exists w, In (bk t, w) (W i).
Proof.
  intros Iq Hi Ht Ek. destruct (bk_spec m layout Hlay t Ht) as [Hb It]. unfold weights. rewrite memo_eq by lia.
  assert (Ib : In (bk t, nth (bk t) blocks []) (combine (seq 0 nb) blocks)) by (apply (in_indexed blocks []); auto).
  destruct (Nat.ltb_spec i k) as [Hik|Hik].
  - eexists. apply in_map_iff. eexists. split; [|apply in_map, in_map, Ib]. unfold product_ends, token_ends. cbn [fst]. reflexivity.
  - rewrite (Ek ltac:(lia)) in *.
    enough (exists e, In e (own_of E m qs (combine (seq 0 nb) blocks)) /\ fst e = bk q) as (e & Ie & Fe).
    { eexists. apply in_map_iff. exists e. split; [|exact Ie]. unfold token_ends. rewrite Fe. reflexivity. }
    unfold own_of. destruct (filter (fun x => existsb (Nat.eqb x) (nth (bk q) blocks [])) qs) as [|q0 ql0] eqn:Fq.
    + exfalso. assert (Il : In q []) by (rewrite <- Fq; apply filter_In; split; [exact Iq|]; apply existsb_eqb; exact It). destruct Il.
    + eexists. split; [apply in_flat_map; eexists; split; [exact Ib|]; cbn [fst snd]; rewrite Fq; left; reflexivity|reflexivity].
Qed.

(** ** Terms.  Lemma 7.5 *)
Section Input.
Variable ts : list nat.
Hypothesis Htok : forall p, (p <= k)%nat -> (tok ts p <= m)%nat.
Hypothesis Hq : In (tok ts k) qs.
Notation q := (tok ts k).
Notation w i := (factor q * weight N q (tok ts i) i).

Lemma at_ts i : (i <= k)%nat -> at_place q i (bk (tok ts i)) (tok ts i).
Proof. intros Hi. destruct (bk_spec m layout Hlay (tok ts i) (Htok i Hi)). split; [assumption|]. split; [assumption|]. intros ->. reflexivity. Qed.

Lemma tokV i : (i <= k)%nat -> (tok ts i < V)%nat.
Proof. intros Hi. specialize (Htok i Hi). lia. Qed.

Lemma heavy_sound : Rsum (S k) (fun i => w i) <= IZR (f_heavy F).
Proof.
  unfold frame_of. cbn [f_heavy]. rewrite IZR_Zsum. apply Rsum_le. intros i Hi.
  destruct (weights_there q i (tok ts i) Hq ltac:(lia) (Htok i ltac:(lia)) ltac:(intros ->; reflexivity)) as ((lo & hi) & I).
  pose proof (weights_sound q i _ _ lo hi Hq ltac:(lia) (at_ts i ltac:(lia)) I) as [_ A]. apply Rle_trans with (1 := A). apply IZR_le.
  change hi with (high (bk (tok ts i), (lo, hi))). apply zmax_ge. exact I.
Qed.

Lemma frame_blk b : (b < nb)%nat -> f_blk F b = nth b blocks [].
Proof. intros Hb. exact (memo_eq nb (fun b => nth b blocks []) [] b Hb). Qed.
Lemma frame_mask b : (b < nb)%nat -> f_mask F b = mask_of (nth b blocks []).
Proof. intros Hb. unfold frame_of. cbn [f_mask]. rewrite (memo_eq nb _ 0%Z b) by exact Hb. cbv beta. rewrite (memo_eq nb _ [] b) by exact Hb. reflexivity. Qed.
Lemma frame_floor b : (b < nb)%nat -> f_floor F b = zmin (fun t => pVE T t m) (nth b blocks []).
Proof. intros Hb. unfold frame_of. cbn [f_floor]. rewrite (memo_eq nb _ 0%Z b) by exact Hb. cbv beta. rewrite (memo_eq nb _ [] b) by exact Hb. reflexivity. Qed.

Lemma worth_sound j zmu i : (i <= k)%nat -> (j < eO E)%nat ->
  bracket N q i (tok ts i) j m * U + IZR zmu <=
  IZR (zmax (fun t => pVE T t j) (f_blk F (bk (tok ts i))) - f_floor F (bk (tok ts i)) +
       (pVP T i j - pVP T i m + (zmax (fun q => pU T q j - pU T q m) qs + zmu)))%Z.
Proof.
  intros Hi Hj. destruct (at_ts i Hi) as (Hb & It & _). rewrite frame_blk, frame_floor by exact Hb.
  pose proof (p2_pos (evs E) (h_vs N E HE)). pose proof (h_VO N E HE).
  rewrite (h_br N E HE) by (try (apply tokV); lia). unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. rewrite <- plus_IZR. apply IZR_le.
  unfold zbracket. pose proof (zmax_ge (fun t => pVE T t j) _ _ It). pose proof (zmin_le (fun t => pVE T t m) _ _ It).
  pose proof (zmax_ge (fun q => pU T q j - pU T q m)%Z qs q Hq). cbv beta in *. lia.
Qed.

(** SPEC-7.5. Every position of an input that holds allowed tokens only has a term, and it bounds. *)
Theorem rows_sound j zmu allowed i : (j < eO E)%nat -> (i <= k)%nat -> Z.testbit (allowed i) (Z.of_nat (tok ts i)) = true ->
  exists x, In (bk (tok ts i), x) (rows_of E upper_term F zmu j allowed i) /\ w i * (bracket N q i (tok ts i) j m * U + IZR zmu) <= IZR x.
Proof.
  intros Hj Hi Al. destruct (weights_there q i (tok ts i) Hq Hi (Htok i Hi) ltac:(intros ->; reflexivity)) as ((lo & hi) & I).
  destruct (at_ts i Hi) as (Hb & It & Ei).
  pose proof (weights_sound q i _ _ lo hi Hq Hi (at_ts i Hi) I) as A.
  unfold rows_of. rewrite memo_eq by lia. unfold make_row. eexists. split.
  - apply in_map_iff. exists (bk (tok ts i), (lo, hi)). split; [cbn [fst snd]; reflexivity|]. apply filter_In. split; [exact I|]. cbn [fst].
    rewrite frame_mask by exact Hb. apply meets_spec with (Z.of_nat (tok ts i)); [lia| |exact Al]. apply mask_of_spec. exact It.
  - change (f_nb F) with nb. rewrite memo_eq by exact Hb. apply upper_term_sound; [|exact A|apply worth_sound; assumption].
    apply Rlt_le, Rmult_lt_0_compat; [apply factor_pos|apply exp_pos].
Qed.
End Input.
End Sound.
