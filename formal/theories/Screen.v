(** SPEC-7.15: one cheap test of every wrong answer, for all inputs with one maximum at once. *)
Require Import Reals Lra Lia ZArith Arith List Bool.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme.
Import ListNotations.
Open Scope R_scope.

Definition answer := (nat * (nat -> Z))%type.

(** ** The program *)
Section Program.
Variables (E : env) (m : nat) (layout : list (list nat)) (zmu : Z).
Notation T := (eT E). Notation k := (ek E). Notation P := (eP E).
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation qs := (seq 0 (S m)).
Notation places := (seq 0 (S k)).

Definition most : Z := zmax (fun q => zmax (place E q) places) qs.
Definition least : Z := zmin (fun q => zmin (place E q) places) qs.
Definition s_spans : list (Z * Z) := map (block_scores E qs m) blocks.
Definition s_top (spans : list (Z * Z)) (most : Z) : Z := (zmax snd spans + most)%Z.
Definition s_ends (spans : list (Z * Z)) (most least : Z) : list (Z * Z) :=
  let top := s_top spans most in map (fun s => ends E (top - snd s - most) (top - fst s - least)) spans.
Definition mean q : Z := (Zsum (eO E) (pU T q) / Z.of_nat (eO E))%Z.
Definition direct_low : Z := zmin (fun q => pU T q m - mean q)%Z qs.
Definition direct_high (mean : nat -> Z) j : Z := zmax (fun q => pU T q j - mean q)%Z qs.
Definition floors : list Z := let low := (direct_low + zmin (fun i => pVP T i m) places - zmu)%Z in
  map (fun b => zmin (fun t => pVE T t m) b + low)%Z blocks.
Definition s_shift (mean : nat -> Z) j : Z := (direct_high mean j + zmax (fun i => pVP T i j) places)%Z.
Definition s_term (shift : Z) (j : nat) (x : list nat * ((Z * Z) * Z)) : Z :=
  upper_term (fst (fst (snd x))) (snd (fst (snd x))) (zmax (fun t => pVE T t j) (fst x) + shift - snd (snd x))%Z.
Definition s_terms (mean : nat -> Z) (data : list (list nat * ((Z * Z) * Z))) j : list Z :=
  let shift := s_shift mean j in map (s_term shift j) data.
Definition kept_mask (masks : list Z) (terms : list Z) (need : Z) (own : Z) : Z :=
  fold_right (fun e a => if (need <=? snd e)%Z then Z.lor (fst e) a else a) own (combine masks terms).
Definition screen_one (mean : nat -> Z) (data : list (list nat * ((Z * Z) * Z))) (masks : list Z) (a : answer) : list answer * option Z :=
  let terms := s_terms mean data (fst a) in
  let largest := zmax (fun x => x) terms in
  let own := last terms 0%Z in
  let whole := (own + Z.of_nat k * largest)%Z in
  if (whole <? 0)%Z then ([], Some whole) else
  let need := (- own - Z.of_nat (pred k) * largest)%Z in
  let mask := kept_mask masks terms need (mask_of [m]) in
  ([(fst a, memo (S k) (fun i => Z.land mask (snd a i)) 0%Z)],
   omaxl (map (fun t => if (t <? need)%Z then Some (t - need)%Z else None) (removelast terms))).
Definition screened (answers : list answer) : list answer * option Z * Z :=
  let spans := s_spans in
  let ends := s_ends spans most least in
  let data := combine blocks (combine ends floors) in
  let masks := map mask_of blocks in
  let mean := memo (S m) mean 0%Z in
  let found := map (screen_one mean data masks) answers in
  (flat_map fst found, omaxl (map snd found), (Z.of_nat (S k) * zmax snd ends)%Z).
End Program.

(** ** What it proves *)
Section Sound.
Variables (N : net) (E : env).
Hypothesis HE : holds N E.
Notation T := (eT E). Notation k := (ek E). Notation V := (eV E). Notation P := (eP E).
Notation U := (p2 (evs E)). Notation US := (p2 (ess E)). Notation rt := (sqrt (INR (edh E))).
Variables (m : nat) (layout : list (list nat)) (zmu : Z).
Hypothesis Hm : (m < V)%nat.
Hypothesis Hlay : concat layout = seq 0 m.
Notation blocks := (layout ++ [[m]]).
Notation nb := (length blocks).
Notation qs := (seq 0 (S m)).
Notation bk t := (index t blocks).
Notation places := (seq 0 (S k)).
Notation M := (most E m). Notation L := (least E m).
Notation spans := (s_spans E m layout).
Notation theEnds := (s_ends E spans M L).
Notation top := (s_top spans M).
Notation data := (combine blocks (combine theEnds (floors E m layout zmu))).
Notation masks := (map mask_of blocks).
Notation means := (memo (S m) (mean E) 0%Z).

Variable ts : list nat.
Hypothesis Htok : forall p, (p <= k)%nat -> (tok ts p <= m)%nat.
Hypothesis Hmax : exists p, (p <= k)%nat /\ tok ts p = m.
Notation q := (tok ts k).

Definition s_factor : R := exp (- (IZR (pQKE T q m + ekappa E q + top) / US / rt)) * p2 P.
Notation w i := (s_factor * weight N q (tok ts i) i).
Lemma s_factor_pos : 0 < s_factor.
Proof. apply Rmult_lt_0_compat; [apply exp_pos|apply p2_pos; pose proof (h_P N E HE); lia]. Qed.

Lemma in_qs x : (x <= m)%nat -> In x qs. Proof. intros. apply in_seq. lia. Qed.
Lemma in_places i : (i <= k)%nat -> In i places. Proof. intros. apply in_seq. lia. Qed.

Lemma lengths : length theEnds = nb /\ length (floors E m layout zmu) = nb /\ length masks = nb.
Proof. unfold s_ends, s_spans, floors. cbv zeta. rewrite !map_length. auto. Qed.

Lemma nth_map' {A B} (f : A -> B) l n d d' : (n < length l)%nat -> nth n (map f l) d' = f (nth n l d).
Proof. intros H. rewrite (nth_indep _ d' (f d)) by (rewrite map_length; exact H). apply map_nth. Qed.

Notation span b := (block_scores E qs m (nth b blocks [])).
Lemma nth_span b : (b < nb)%nat -> nth b spans (0, 0)%Z = span b.
Proof. intros Hb. unfold s_spans. apply nth_map'. exact Hb. Qed.
Lemma nth_ends b : (b < nb)%nat -> nth b theEnds (0, 0)%Z = ends E (top - snd (span b) - M) (top - fst (span b) - L).
Proof.
  intros Hb. unfold s_ends. cbv zeta. rewrite (nth_map' _ spans b (0, 0)%Z) by (unfold s_spans; rewrite map_length; exact Hb).
  rewrite nth_span by exact Hb. reflexivity.
Qed.

Lemma s_weight i : (i <= k)%nat -> IZR (fst (nth (bk (tok ts i)) theEnds (0, 0)%Z)) <= w i <= IZR (snd (nth (bk (tok ts i)) theEnds (0, 0)%Z)).
Proof.
  intros Hi. destruct (bk_spec m layout Hlay (tok ts i) (Htok i Hi)) as [Hb It]. rewrite nth_ends by exact Hb. set (b := bk (tok ts i)) in *.
  assert (Hrt : 0 < rt) by (apply sqrt_lt_R0, lt_0_INR, (h_dh0 N E HE)). pose proof (p2_pos (ess E) (h_ss N E HE)) as HU.
  assert (Iq : In q qs) by (apply in_qs, Htok; lia).
  set (x := (pQKE T q (tok ts i) - pQKE T q m)%Z). set (y := place E q i).
  assert (X : (fst (span b) <= x <= snd (span b))%Z).
  { unfold block_scores. cbn [fst snd]. split.
    - eapply Z.le_trans; [apply (zmin_le _ qs q Iq)|]. cbv beta. pose proof (zmin_le (pQKE T q) _ _ It). unfold x. lia.
    - eapply Z.le_trans; [|apply (zmax_ge _ qs q Iq)]. cbv beta. pose proof (zmax_ge (pQKE T q) _ _ It). unfold x. lia. }
  assert (Y : (L <= y <= M)%Z).
  { unfold least, most. split.
    - eapply Z.le_trans; [apply (zmin_le _ qs q Iq)|]. cbv beta. apply zmin_le, in_places, Hi.
    - eapply Z.le_trans; [|apply (zmax_ge _ qs q Iq)]. cbv beta. apply zmax_ge, in_places, Hi. }
  assert (Tp : (snd (span b) <= zmax snd spans)%Z).
  { rewrite <- nth_span by exact Hb. apply zmax_ge, nth_In. unfold s_spans. rewrite map_length. exact Hb. }
  unfold ends. rewrite (h_root N E HE). unfold s_top.
  destruct (exp_ends_sound (edh E) (ess E) P (zmax snd spans + M - snd (span b) - M) (zmax snd spans + M - (x + y)) (zmax snd spans + M - fst (span b) - L)
    (h_dh0 N E HE) (h_ss N E HE) (h_P N E HE) ltac:(lia) ltac:(lia)) as [_ A]. unfold encl in A.
  assert (V1 : (tok ts i < V)%nat) by (specialize (Htok i Hi); lia). assert (V2 : (q < V)%nat) by (specialize (Htok k ltac:(lia)); lia).
  assert (Wi : w i = exp (- (IZR (zmax snd spans + M - (x + y)) / US / rt)) * p2 P).
  { unfold s_factor, weight. rewrite (h_QKE N E HE), (h_QKP N E HE), (h_dh N E HE) by assumption.
    rewrite Rmult_assoc, (Rmult_comm (p2 P)), <- Rmult_assoc, <- exp_plus. f_equal. f_equal. unfold x, y, place, s_top.
    rewrite !minus_IZR, !plus_IZR, !minus_IZR. field. lra. }
  rewrite Wi. exact A.
Qed.

Lemma s_heavy : Rsum (S k) (fun i => w i) <= IZR (Z.of_nat (S k) * zmax snd theEnds).
Proof.
  apply Rle_trans with (Rsum (S k) (fun _ => IZR (zmax snd theEnds))).
  - apply Rsum_le. intros i Hi. apply Rle_trans with (1 := proj2 (s_weight i ltac:(lia))). apply IZR_le, zmax_ge, nth_In.
    destruct lengths as [-> _]. apply bk_spec; [exact Hlay|apply Htok; lia].
  - rewrite mult_IZR, <- INR_IZR_INZ. generalize (S k). intros n. induction n; [simpl; lra|]. rewrite S_INR. simpl Rsum. lra.
Qed.

Section Answer.
Variable a : answer.
Notation j := (fst a).
Hypothesis Hj : (j < eO E)%nat.
Hypothesis Hal : forall i, (i <= k)%nat -> Z.testbit (snd a i) (Z.of_nat (tok ts i)) = true.
Notation terms := (s_terms E m means data j).
Notation f i := (nth (bk (tok ts i)) terms 0%Z).

Lemma data_length : length data = nb.
Proof. destruct lengths as (A & B & _). rewrite !combine_length, A, B. lia. Qed.
Lemma terms_length : length terms = nb.
Proof. unfold s_terms. cbv zeta. rewrite map_length. apply data_length. Qed.

Lemma nth_data b : (b < nb)%nat -> nth b data ([], ((0, 0), 0))%Z = (nth b blocks [], (nth b theEnds (0, 0)%Z, nth b (floors E m layout zmu) 0%Z)).
Proof.
  intros Hb. destruct lengths as (A & B & _). rewrite combine_nth by (rewrite combine_length, A, B; lia). rewrite combine_nth by (rewrite A, B; reflexivity). reflexivity.
Qed.

Lemma s_term_sound i : (i <= k)%nat -> w i * (bracket N q i (tok ts i) j m * U + IZR zmu) <= IZR (f i).
Proof.
  intros Hi. destruct (bk_spec m layout Hlay (tok ts i) (Htok i Hi)) as [Hb It]. unfold s_terms. cbv zeta.
  rewrite (nth_map' _ _ _ ([], ((0, 0), 0))%Z) by (rewrite data_length; exact Hb). rewrite nth_data by exact Hb. unfold s_term. cbn [fst snd].
  apply upper_term_sound.
  - apply Rlt_le, Rmult_lt_0_compat; [apply s_factor_pos|apply exp_pos].
  - apply s_weight, Hi.
  - pose proof (p2_pos (evs E) (h_vs N E HE)). pose proof (h_VO N E HE). pose proof (Htok i Hi). assert (Hq : (q <= m)%nat) by (apply Htok; lia).
    rewrite (h_br N E HE) by lia. unfold Rdiv. rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra. rewrite <- plus_IZR. apply IZR_le.
    unfold floors. cbv zeta. rewrite (nth_map' _ blocks _ []) by exact Hb. unfold zbracket, s_shift, direct_low, direct_high.
    pose proof (zmax_ge (fun t => pVE T t j) _ _ It). pose proof (zmin_le (fun t => pVE T t m) _ _ It).
    pose proof (zmax_ge (fun q => pU T q j - means q)%Z qs q (in_qs q Hq)) as D1. cbv beta in D1. rewrite memo_eq in D1 by lia.
    pose proof (zmin_le (fun q => pU T q m - mean E q)%Z qs q (in_qs q Hq)) as D2. cbv beta in D2.
    pose proof (zmax_ge (fun i => pVP T i j) places i (in_places i Hi)). pose proof (zmin_le (fun i => pVP T i m) places i (in_places i Hi)).
    cbv beta in *. lia.
Qed.

Notation largest := (zmax (fun x => x) terms).
Lemma f_largest i : (i <= k)%nat -> (f i <= largest)%Z.
Proof. intros Hi. apply (zmax_ge (fun x => x)), nth_In. rewrite terms_length. apply bk_spec; [exact Hlay|apply Htok, Hi]. Qed.
Lemma terms_split : exists l x, terms = l ++ [x] /\ length l = length layout.
Proof.
  pose proof terms_length as Lt. destruct (exists_last (l := terms)) as (l & x & El).
  - intros E0. rewrite E0, app_length in Lt. simpl in Lt. lia.
  - exists l, x. split; [exact El|]. rewrite El, !app_length in Lt. simpl in Lt. lia.
Qed.
Notation own := (last terms 0%Z).
Lemma f_own p : (p <= k)%nat -> tok ts p = m -> f p = own.
Proof.
  intros Hp Ep. rewrite Ep, (bk_max m layout Hlay). destruct terms_split as (l & x & El & Ll). rewrite El, last_last, <- Ll, app_nth2, Nat.sub_diag by lia. reflexivity.
Qed.

Lemma Zsum_const n c : Zsum n (fun _ => c) = (Z.of_nat n * c)%Z.
Proof. induction n; [reflexivity|]. cbn [Zsum]. rewrite IHn. lia. Qed.

Lemma whole_sum : (Zsum (S k) (fun i => f i) <= own + Z.of_nat k * largest)%Z.
Proof.
  destruct Hmax as (p & Hp & Ep). pose proof (Zsum_but_one (S k) (fun i => f i) (fun _ => largest) p ltac:(lia) ltac:(intros i Hi _; apply f_largest; lia)) as B.
  rewrite Zsum_const in B. cbv beta in B. rewrite (f_own p Hp Ep) in B. lia.
Qed.
Lemma block_sum_bound i : (i <= k)%nat -> tok ts i <> m -> (Zsum (S k) (fun i => f i) <= f i + own + Z.of_nat (pred k) * largest)%Z.
Proof.
  intros Hi Ei. destruct Hmax as (p & Hp & Ep). assert (p <> i) by congruence.
  pose proof (Zsum_but_two (S k) (fun i => f i) (fun _ => largest) i p ltac:(lia) ltac:(lia) ltac:(lia) ltac:(intros r Hr _ _; apply f_largest; lia)) as B.
  rewrite Zsum_const in B. cbv beta in B. rewrite (f_own p Hp Ep) in B. replace (Z.of_nat (S k)) with (Z.of_nat (pred k) + 2)%Z in B by lia. rewrite Z.mul_add_distr_r in B. lia.
Qed.

Lemma kept_mask_own ms l need o t : Z.testbit o t = true -> Z.testbit (kept_mask ms l need o) t = true.
Proof.
  intros H. unfold kept_mask. induction (combine ms l) as [|e r IH]; simpl; [exact H|]. destruct (need <=? snd e)%Z; [|exact IH]. rewrite Z.lor_spec, IH. apply orb_true_r.
Qed.
Lemma kept_mask_in ms l need o t M0 x : In (M0, x) (combine ms l) -> (need <= x)%Z -> Z.testbit M0 t = true -> Z.testbit (kept_mask ms l need o) t = true.
Proof.
  intros I Hx H. unfold kept_mask. induction (combine ms l) as [|e r IH]; simpl; [destruct I|]. destruct I as [->|I].
  - cbn [fst snd]. destruct (Z.leb_spec need x); [|lia]. rewrite Z.lor_spec, H. reflexivity.
  - destruct (need <=? snd e)%Z; [|auto]. rewrite Z.lor_spec, IH by exact I. apply orb_true_r.
Qed.

Lemma screen_one_sound :
  (exists al, In (j, al) (fst (screen_one E m means data masks a)) /\ forall i, (i <= k)%nat -> Z.testbit (al i) (Z.of_nat (tok ts i)) = true) \/
  (exists y, snd (screen_one E m means data masks a) = Some y /\ (Zsum (S k) (fun i => f i) <= y)%Z /\ (y < 0)%Z).
Proof.
  unfold screen_one. cbv zeta. pose proof whole_sum as Wh. destruct (Z.ltb_spec (own + Z.of_nat k * largest) 0) as [Hn|Hn].
  { right. eexists. split; [reflexivity|]. lia. }
  set (need := (- own - Z.of_nat (pred k) * largest)%Z). cbn [fst snd].
  assert (D : (forall i, (i <= k)%nat -> tok ts i = m \/ (need <= f i)%Z) \/ exists i, (i <= k)%nat /\ tok ts i <> m /\ (f i < need)%Z).
  { clear. assert (G : forall n, (forall i, (i < n)%nat -> tok ts i = m \/ (need <= f i)%Z) \/ exists i, (i < n)%nat /\ tok ts i <> m /\ (f i < need)%Z).
    { induction n as [|n [IH|(i & ? & ?)]]; [left; intros; lia| |right; exists i; split; [lia|assumption]].
      destruct (Nat.eq_dec (tok ts n) m) as [En|En]; [left; intros i Hi; destruct (Nat.eq_dec i n) as [->|]; [auto|apply IH; lia]|].
      destruct (Z_lt_le_dec (f n) need) as [Hl|Hl]; [right; exists n; auto|left; intros i Hi; destruct (Nat.eq_dec i n) as [->|]; [auto|apply IH; lia]]. }
    destruct (G (S k)) as [A|(i & Hi & B)]; [left; intros; apply A; lia|right; exists i; split; [lia|exact B]]. }
  destruct D as [All|(i & Hi & Ei & Li)].
  - left. eexists. split; [left; reflexivity|]. intros i Hi. rewrite memo_eq by lia. rewrite Z.land_spec, (Hal i Hi), andb_true_r.
    destruct (bk_spec m layout Hlay (tok ts i) (Htok i Hi)) as [Hb It]. destruct (All i Hi) as [Em|Hneed].
    + apply kept_mask_own. rewrite Em. apply mask_of_spec. left. reflexivity.
    + apply (kept_mask_in _ _ _ _ _ (mask_of (nth (bk (tok ts i)) blocks [])) (f i)); [|exact Hneed|apply mask_of_spec, It].
      assert (Lm : length masks = length terms) by (rewrite terms_length; apply lengths).
      replace (mask_of (nth (bk (tok ts i)) blocks []), f i) with (nth (bk (tok ts i)) (combine masks terms) (0, 0)%Z).
      * apply nth_In. rewrite combine_length, Lm, terms_length. lia.
      * rewrite combine_nth by exact Lm. f_equal. apply nth_map'. exact Hb.
  - right. pose proof (block_sum_bound i Hi Ei) as B.
    assert (I : In (Some (f i - need)%Z) (map (fun t => if (t <? need)%Z then Some (t - need)%Z else None) (removelast terms))).
    { apply in_map_iff. exists (f i). split; [destruct (Z.ltb_spec (f i) need); [reflexivity|lia]|].
      destruct (bk_spec m layout Hlay (tok ts i) (Htok i Hi)) as [Hb It].
      assert (Nl : bk (tok ts i) <> length layout) by (intros El; apply Ei; apply (bk_only_max m layout Hlay); [apply Htok, Hi|exact El]).
      destruct terms_split as (l & x & El & Ll). rewrite El, removelast_last, app_nth1.
      - apply nth_In. rewrite app_length in Hb. simpl in Hb. lia.
      - rewrite app_length in Hb. simpl in Hb. lia. }
    destruct (omaxl_ge _ _ I) as (y & Ey & Ly). exists y. split; [exact Ey|]. split; [unfold need in *; lia|].
    apply (omaxl_lt _ 0%Z y) in Ey; [exact Ey|]. intros x Ix. apply in_map_iff in Ix as (t & Et & _). destruct (Z.ltb_spec t need); [injection Et as <-; lia|discriminate].
Qed.
End Answer.

(** SPEC-7.15 *)
Theorem screened_sound answers a : In a answers -> (fst a < eO E)%nat ->
  (forall i, (i <= k)%nat -> Z.testbit (snd a i) (Z.of_nat (tok ts i)) = true) ->
  let r := screened E m layout zmu answers in
  (exists al, In (fst a, al) (fst (fst r)) /\ forall i, (i <= k)%nat -> Z.testbit (al i) (Z.of_nat (tok ts i)) = true) \/
  (exists y, snd (fst r) = Some y /\ IZR zmu < gap N m (fst a) ts * U /\ IZR (zmu + - y / snd r) <= gap N m (fst a) ts * U).
Proof.
  intros Ia Hj Hal r. unfold r, screened. cbv zeta. cbn [fst snd]. set (one := screen_one E m means data masks).
  destruct (screen_one_sound a Hj Hal) as [(al & I & A)|(y & Ey & Ly & Hy)].
  - left. exists al. split; [|exact A]. apply in_flat_map. exists (one a). split; [apply in_map; exact Ia|exact I].
  - right. destruct (omaxl_ge (map snd (map one answers)) y) as (z & Ez & Lz).
    { apply in_map_iff. exists (one a). split; [exact Ey|apply in_map; exact Ia]. }
    assert (Hz : (z < 0)%Z).
    { apply (omaxl_lt _ 0%Z z) in Ez; [exact Ez|]. intros x Ix. apply in_map_iff in Ix as (o & Eo & Io). apply in_map_iff in Io as (b & <- & _).
      unfold one, screen_one in Eo. cbv zeta in Eo. destruct (Z.ltb_spec (last (s_terms E m means data (fst b)) 0%Z + Z.of_nat k * zmax (fun x => x) (s_terms E m means data (fst b))) 0) as [Hneg|Hneg].
      - cbn [snd] in Eo. injection Eo as <-. exact Hneg.
      - cbn [snd] in Eo. apply (omaxl_lt _ 0%Z x) in Eo; [exact Eo|]. intros x' Ix'. apply in_map_iff in Ix' as (t & Et & _).
        destruct (Z.ltb_spec t (- last (s_terms E m means data (fst b)) 0%Z - Z.of_nat (pred k) * zmax (fun x => x) (s_terms E m means data (fst b)))); [injection Et as <-; lia|discriminate]. }
    exists z. split; [exact Ez|].
    apply (gap_of_sum N ts (fst a) m k (evs E) zmu s_factor (h_ctx N E HE) s_factor_pos z); [|exact Hz|apply s_heavy].
    apply Rle_trans with (IZR (Zsum (S k) (fun i => nth (bk (tok ts i)) (s_terms E m means data (fst a)) 0%Z))); [|apply IZR_le; lia].
    rewrite IZR_Zsum. apply Rsum_le. intros i Hi. apply s_term_sound; [exact Hj|lia].
Qed.
End Sound.
