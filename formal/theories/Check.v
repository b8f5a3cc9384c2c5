(** SPEC-5.6, SPEC-7: the whole check, from the integers of the model to the bounds; and that it is sound. *)
Require Import Reals Lra Lia ZArith Arith List Bool Permutation.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme Screen Enumerate Tie Leaf Tree.
Import ListNotations.
Open Scope R_scope.

(** ** The program *)
(** The tables over the scales that the certificate's numbers need; they must fit exactly. *)
Definition shifted (n m : nat) (d : Z) (f : nat -> nat -> Z) : nat -> nat -> Z := memo2 n m (fun i j => shr (f i j) d).
Definition divides (n m : nat) (d : Z) (f : nat -> nat -> Z) : bool :=
  forallb (fun i => forallb (fun j => (shl (shr (f i j) d) d =? f i j)%Z) (seq 0 m)) (seq 0 n).
Definition scaled (M : zmodel) (ss vs : Z) : option paths :=
  let T := tables M in let ds := (scale4 M - ss)%Z in let dv := (scale4 M - vs)%Z in
  let V := zV M in let O := zO M in let n := S (zk M) in
  if ((0 <=? ds)%Z && (0 <=? dv)%Z && (0 <=? ss)%Z && (0 <=? vs)%Z
      && divides V V ds (pQKE T) && divides V n ds (pQKP T)
      && divides V O dv (pVE T) && divides n O dv (pVP T) && divides V O dv (pU T))%bool
  then Some (Paths (shifted V V ds (pQKE T)) (shifted V n ds (pQKP T)) (shifted V O dv (pVE T)) (shifted n O dv (pVP T)) (shifted V O dv (pU T)))
  else None.

Definition env_of (M : zmodel) (T : paths) (ss vs P : Z) : env :=
  let k := zk M in
  Env T k (zV M) (zO M) (zdh M) ss vs P (inverse_sqrt (Z.of_nat (zdh M)) (P + 64))
      (memo (zV M) (fun q => Zsum k (pQKP T q) / Z.max 1 (Z.of_nat k))%Z 0%Z).

Record root := Root { r_max : nat; r_mu : Z * Z; r_cell : cell }.

Definition tiled (V : nat) (roots : list root) : bool :=
  (forallb (fun r => r_max r <? V)%nat roots &&
   forallb (fun m => same (NatSort.sort (flat_map (fun r => if Nat.eqb (r_max r) m then c_qs (r_cell r) else []) roots)) (seq 0 (S m))) (seq 0 V))%bool.

(** Nothing is shown before a root: every wrong answer, with every token. *)
Definition all_answers (O m : nat) : list answer := map (fun j => (j, all_tokens)) (filter (fun j => negb (Nat.eqb j m)) (seq 0 O)).

Fixpoint visit_all (E : env) (W : nat -> nat -> Z) (roots : list root) : option (Z * Z * option Z) :=
  match roots with
  | [] => Some (0, 0, None)%Z
  | r :: rest =>
      let zmu := ceiling (fst (r_mu r)) (snd (r_mu r) + evs E) in
      if (zmu <? 0)%Z then None else
      match visit E W (r_max r) zmu (r_cell r) (all_answers (eO E) (r_max r)) None with
      | None => None
      | s => add s (visit_all E W rest)
      end
  end.

(** A certificate: precision, scales of scores and of values, the cells, and the two claims. *)
Record certificate := Certificate { p_precision : Z; p_score_scale : Z; p_value_scale : Z; p_roots : list root; p_lower : Z; p_upper : Z }.

(** Bounds on the weight of the inputs answered correctly, and the margin of those counted, in 2^-20. *)
Definition check (M : zmodel) (scope : nat -> nat -> Z) (C : certificate) : option (Z * Z * Z) :=
  let V := zV M in let n := S (zk M) in
  if ((0 <=? zS M)%Z && (16 <=? p_precision C)%Z && (0 <? zdh M)%nat && (0 <? V)%nat && (V <=? zO M)%nat
      && forallb (fun i => forallb (fun t => (0 <=? scope i t)%Z) (seq 0 V)) (seq 0 n) && tiled V (p_roots C))%bool
  then
    match scaled M (p_score_scale C) (p_value_scale C) with
    | None => None
    | Some T =>
      let W := memo2 n V scope in
      match visit_all (env_of M T (p_score_scale C) (p_value_scale C) (p_precision C)) W (p_roots C) with
      | None => None
      | Some (wr, rg, g) =>
          let upper := (zprod 0 n (fun i => lsum (W i) (seq 0 V)) - wr)%Z in
          if ((p_lower C <=? rg) && (upper <=? p_upper C))%Z
          then Some (rg, upper, Z.max 0 (match g with Some g => g | None => 0 end)%Z) else None
      end
    end
  else None.

(** ** What it proves *)
Lemma memo2_out n m f i j : (n <= i)%nat \/ (m <= j)%nat -> memo2 n m f i j = 0%Z.
Proof.
  intros H. unfold memo2. unfold memo at 1. destruct (Nat.lt_ge_cases i n) as [Hi|Hi].
  - destruct H as [H|H]; [lia|]. rewrite (nth_indep _ _ (memo m (f 0%nat) 0%Z)) by (rewrite map_length, seq_length; exact Hi).
    rewrite (map_nth (fun i => memo m (f i) 0%Z)), seq_nth by exact Hi. unfold memo. apply nth_overflow. rewrite map_length, seq_length. exact H.
  - rewrite nth_overflow; [reflexivity|]. rewrite map_length, seq_length. exact Hi.
Qed.

Lemma divides_spec n m d f i j : divides n m d f = true -> (i < n)%nat -> (j < m)%nat -> (0 <= d)%Z -> IZR (f i j) = IZR (shifted n m d f i j) * p2 d.
Proof.
  intros H Hi Hj Hd. unfold divides in H. rewrite forallb_forall in H. specialize (H i ltac:(apply in_seq; lia)). rewrite forallb_forall in H.
  specialize (H j ltac:(apply in_seq; lia)). apply Z.eqb_eq in H. unfold shifted. rewrite memo2_eq by assumption. rewrite <- shl_spec by exact Hd. rewrite H. reflexivity.
Qed.

(** SPEC-6.1 *)
Theorem scaled_holds M ss vs T P : scaled M ss vs = Some T -> (0 <= zS M)%Z -> (16 <= P)%Z -> (0 < zdh M)%nat -> (zV M <= zO M)%nat ->
  holds (net_of M) (env_of M T ss vs P).
Proof.
  intros H HS HP Hd HVO. unfold scaled in H. set (T0 := tables M) in H. cbv zeta in H. pose proof (c_EQKE M HS) as K1. pose proof (c_EQKP M HS) as K2. pose proof (c_bracket M HS) as K3. fold T0 in K1, K2, K3. clearbody T0.
  destruct (_ && _)%bool eqn:G in H; [|discriminate]. injection H as <-.
  repeat (apply andb_prop in G as [G ?]). repeat match goal with X : (_ <=? _)%Z = true |- _ => apply Z.leb_le in X end.
  pose proof (p2_pos ss ltac:(assumption)) as Ps. pose proof (p2_pos vs ltac:(assumption)) as Pv.
  pose proof (p2_pos (scale4 M - ss) ltac:(lia)) as Pds. pose proof (p2_pos (scale4 M - vs) ltac:(lia)) as Pdv.
  assert (Es : p2 (scale4 M) = p2 (scale4 M - ss) * p2 ss) by (rewrite <- p2_plus by lia; f_equal; lia).
  assert (Ev : p2 (scale4 M) = p2 (scale4 M - vs) * p2 vs) by (rewrite <- p2_plus by lia; f_equal; lia).
  constructor; cbn [env_of eT ek eV eO edh ess evs eP eroot]; try assumption; try reflexivity.
  - intros q t Hq Ht. rewrite K1 by assumption. cbn [pQKE]. rewrite (divides_spec (zV M) (zV M) (scale4 M - ss)) by assumption. rewrite Es. field. lra.
  - intros q i Hq Hi. rewrite K2 by assumption. cbn [pQKP]. rewrite (divides_spec (zV M) (S (zk M)) (scale4 M - ss)) by (assumption || lia). rewrite Es. field. lra.
  - intros q i t j m Hq Hi Ht Hj Hm. rewrite K3 by assumption. unfold zbracket. cbn [pVE pVP pU].
    rewrite !plus_IZR, !minus_IZR.
    rewrite (divides_spec (zV M) (zO M) (scale4 M - vs) (pVE T0) t j), (divides_spec (zV M) (zO M) (scale4 M - vs) (pVE T0) t m),
      (divides_spec (S (zk M)) (zO M) (scale4 M - vs) (pVP T0) i j), (divides_spec (S (zk M)) (zO M) (scale4 M - vs) (pVP T0) i m),
      (divides_spec (zV M) (zO M) (scale4 M - vs) (pU T0) q j), (divides_spec (zV M) (zO M) (scale4 M - vs) (pU T0) q m) by (assumption || lia).
    rewrite Ev. field. lra.
Qed.

Section Sound.
Variables (N : net) (E : env) (W : nat -> nat -> Z).
Hypothesis HE : holds N E.
Hypothesis HW : forall i t, (0 <= W i t)%Z.
Notation k := (ek E). Notation V := (eV E). Notation O := (eO E).

Lemma all_shown m qs zmu : shown N E m qs zmu (all_answers O m) None.
Proof.
  split.
  - intros a Ia. unfold all_answers in Ia. apply in_map_iff in Ia as (j & <- & Ij). apply filter_In in Ij as [Ij Ej]. apply in_seq in Ij. apply negb_true_iff, Nat.eqb_neq in Ej. cbn [fst]. split; [lia|exact Ej].
  - intros ts _ j Hj Hjm. left. exists all_tokens. split.
    + apply in_map_iff. exists j. split; [reflexivity|]. apply filter_In. split; [apply in_seq; lia|]. apply Nat.eqb_neq in Hjm. rewrite Hjm. reflexivity.
    + intros i Hi. unfold all_tokens. apply Z.bits_m1. lia.
Qed.

Definition rootmass (P : nat -> list nat -> bool) (roots : list root) : Z := lsum (fun r => cellmass W V k (r_max r) (c_qs (r_cell r)) (P (r_max r))) roots.

Lemma visit_all_sound roots : forall lower right g, (forall r, In r roots -> (r_max r < V)%nat) -> visit_all E W roots = Some (lower, right, g) ->
  (lower <= rootmass (wrong N O) roots)%Z /\ (right <= rootmass (fun m => good N O m g) roots)%Z.
Proof.
  induction roots as [|r roots IH]; intros lower right g B H.
  - injection H as <- <- <-. unfold rootmass. simpl. lia.
  - cbn [visit_all] in H. cbv zeta in H. set (zmu := ceiling _ _) in H. destruct (Z.ltb_spec zmu 0); [discriminate|].
    destruct (visit E W (r_max r) zmu (r_cell r) (all_answers O (r_max r)) None) as [[[l1 r1] g1]|] eqn:Ev; [|discriminate].
    destruct (visit_all E W roots) as [[[l2 r2] g2]|] eqn:Ea; [|discriminate]. cbn [add] in H. injection H as <- <- <-.
    destruct (visit_sound N E W HE HW (r_max r) zmu (B r (or_introl eq_refl)) ltac:(lia) (r_cell r) _ _ _ _ _ (all_shown _ _ _) Ev) as [A1 B1].
    destruct (IH _ _ _ (fun x Ix => B x (or_intror Ix)) eq_refl) as [A2 B2]. unfold rootmass in *. cbn [lsum]. split; [lia|].
    pose proof (good_mono N E W HW (r_max r) g1 (omin g1 g2) (c_qs (r_cell r)) (fun x => at_least_l g1 g2 x)).
    assert (lsum (fun r => cellmass W V k (r_max r) (c_qs (r_cell r)) (good N O (r_max r) g2)) roots
         <= lsum (fun r => cellmass W V k (r_max r) (c_qs (r_cell r)) (good N O (r_max r) (omin g1 g2))) roots)%Z.
    { apply lsum_le. intros x _. apply (good_mono N E W HW (r_max x) g2 (omin g1 g2)). intros y. apply at_least_r. }
    lia.
Qed.

Lemma tiled_sound roots : tiled V roots = true ->
  (forall r, In r roots -> (r_max r < V)%nat) /\
  forall m, (m < V)%nat -> Permutation (flat_map (fun r => if Nat.eqb (r_max r) m then c_qs (r_cell r) else []) roots) (seq 0 (S m)).
Proof.
  intros H. unfold tiled in H. apply andb_prop in H as [A B]. rewrite forallb_forall in A, B. split.
  - intros r Ir. apply Nat.ltb_lt, A, Ir.
  - intros m Hm. specialize (B m ltac:(apply in_seq; lia)). apply same_spec in B. rewrite <- B. apply NatSort.Permuted_sort.
Qed.

Lemma rootmass_mass roots P : (0 < V)%nat -> tiled V roots = true -> rootmass P roots = mass W V (S k) (fun ts => P (maxl ts) ts).
Proof.
  intros HV Ht. destruct (tiled_sound roots Ht) as [B T]. unfold rootmass.
  rewrite (tiling_roots W V k r_max (fun r => c_qs (r_cell r)) roots (fun ts => P (maxl ts) ts) HV T B). apply lsum_ext. intros r _. unfold cellmass.
  apply lsum_ext. intros q _. apply massi_ext. intros ts _. rewrite in_cell_one. destruct (Nat.eqb_spec (maxl ts) (r_max r)) as [->|]; reflexivity.
Qed.
End Sound.

Lemma mass_scope W W' V n P : (forall i t, (i < n)%nat -> (t < V)%nat -> W i t = W' i t) -> mass W V n P = mass W' V n P.
Proof.
  intros H. unfold mass, massi. apply lsum_ext. intros ts I. apply in_inputs in I as [L B]. destruct (P ts); [|reflexivity].
  assert (G : forall ts i, (i + length ts = n)%nat -> (forall t, In t ts -> (t < V)%nat) -> wt W i ts = wt W' i ts).
  { clear - H. induction ts as [|t ts IH]; intros i Hi Hb; [reflexivity|]. simpl in *. rewrite H by (try apply Hb; auto; lia). rewrite IH; [reflexivity|lia|auto]. }
  apply G; [simpl; exact L|exact B].
Qed.

(** SPEC-5.6, SPEC-7.1 *)
Theorem check_sound M scope C lower upper g : check M scope C = Some (lower, upper, g) ->
  let V := zV M in let n := S (zk M) in let N := net_of M in
  (lower <= mass scope V n (fun ts => good N (zO M) (maxl ts) (Some g) ts))%Z /\
  (mass scope V n (fun ts => negb (wrong N (zO M) (maxl ts) ts)) <= upper)%Z /\ (0 <= g)%Z.
Proof.
  intros H V n N. unfold check in H. cbv zeta in H. destruct (_ && _)%bool eqn:G in H; [|discriminate].
  repeat (apply andb_prop in G as [G ?]). repeat match goal with X : (_ <=? _)%Z = true |- _ => apply Z.leb_le in X | X : (_ <? _)%nat = true |- _ => apply Nat.ltb_lt in X | X : (_ <=? _)%nat = true |- _ => apply Nat.leb_le in X end.
  match goal with X : forallb _ _ = true |- _ => rename X into Hsc end. match goal with X : tiled _ _ = true |- _ => rename X into Ht end.
  destruct (scaled M (p_score_scale C) (p_value_scale C)) as [T|] eqn:Es; [|discriminate].
  set (W := memo2 n V scope). change (memo2 (S (zk M)) (zV M) scope) with W in H.
  set (E := env_of M T (p_score_scale C) (p_value_scale C) (p_precision C)) in *.
  assert (HE : holds N E) by (apply scaled_holds; assumption).
  assert (HW : forall i t, (0 <= W i t)%Z).
  { intros i t. unfold W. destruct (Nat.lt_ge_cases i n) as [Hi|Hi]; [|rewrite memo2_out by auto; lia]. destruct (Nat.lt_ge_cases t V) as [Htt|Htt]; [|rewrite memo2_out by auto; lia].
    rewrite memo2_eq by assumption. rewrite forallb_forall in Hsc. specialize (Hsc i ltac:(apply in_seq; unfold n in Hi; lia)). rewrite forallb_forall in Hsc.
    apply Z.leb_le, Hsc, in_seq. unfold V in Htt. lia. }
  assert (HWs : forall P, mass scope V n P = mass W V n P).
  { intros P. apply mass_scope. intros i t Hi Htt. unfold W. rewrite memo2_eq by assumption. reflexivity. }
  destruct (visit_all E W (p_roots C)) as [[[wr rg] gm]|] eqn:Ev; [|discriminate].
  destruct ((p_lower C <=? rg) && _)%Z%bool; [|discriminate]. injection H as <- <- <-.
  destruct (tiled_sound E (p_roots C) Ht) as [B _].
  destruct (visit_all_sound N E W HE HW (p_roots C) wr rg gm B Ev) as [Lw Lr].
  rewrite (rootmass_mass E W (p_roots C) (wrong N (eO E))) in Lw by assumption.
  rewrite (rootmass_mass E W (p_roots C) (fun m => good N (eO E) m gm)) in Lr by assumption.
  change (eO E) with (zO M) in *. change (eV E) with V in *. change (S (ek E)) with n in *. rewrite !HWs. split; [|split; [|lia]].
  - apply Z.le_trans with (1 := Lr). apply massi_le; [exact HW|]. intros ts _ Gd. apply good_spec. intros j Hj Hjm.
    destruct (proj1 (good_spec N (zO M) (maxl ts) gm ts) Gd j Hj Hjm) as [A L]. split; [exact A|]. destruct gm as [gm|]; simpl in L |- *; [|destruct L].
    destruct (Z.max_spec 0 gm) as [[_ ->]|[_ ->]]; [exact L|]. apply Rmult_le_pos; [lra|]. apply Rlt_le, p2_pos. lia.
  - assert (Tot : mass W V n (fun _ => true) = zprod 0 n (fun i => lsum (W i) (seq 0 V))).
    { unfold mass. rewrite (massi_ext W V 0 n (fun _ => true) (allb (fun _ _ => true) 0)).
      - apply (mass_box W V (fun _ _ => true) n 0).
      - intros ts _. symmetry. apply allb_spec. reflexivity. }
    match goal with |- (_ <= ?z - _)%Z => replace z with (mass W V n (fun _ => true)) by (rewrite Tot; reflexivity) end. unfold mass in *. rewrite (massi_split W V 0 n (fun _ => true) (fun ts => wrong N (zO M) (maxl ts) ts)). cbn [andb]. lia.
Qed.
