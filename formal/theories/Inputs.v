(** SPEC-5.3, SPEC-7.1, SPEC-7.2: the inputs, what they weigh, and how cells divide them. *)
Require Import ZArith Lia List Bool Permutation Arith.
Import ListNotations.
Open Scope Z_scope.

(** ** Sums over lists *)
Fixpoint lsum {A} (f : A -> Z) (l : list A) : Z :=
  match l with [] => 0 | x :: r => f x + lsum f r end.

Section Lsum.
Context {A : Type}.
Implicit Types (f g : A -> Z) (l : list A).
Lemma lsum_ext f g l : (forall x, In x l -> f x = g x) -> lsum f l = lsum g l.
Proof. induction l; simpl; intros H; [reflexivity|]. rewrite IHl, H; auto. Qed.
Lemma lsum_le f g l : (forall x, In x l -> f x <= g x) -> lsum f l <= lsum g l.
Proof.
  induction l; simpl; intros H; [lia|]. assert (f a <= g a) by auto.
  assert (lsum f l <= lsum g l) by auto. lia.
Qed.
Lemma lsum_nonneg f l : (forall x, In x l -> 0 <= f x) -> 0 <= lsum f l.
Proof. induction l; simpl; intros H; [lia|]. assert (0 <= f a) by auto. assert (0 <= lsum f l) by auto. lia. Qed.
Lemma lsum_app f l1 l2 : lsum f (l1 ++ l2) = lsum f l1 + lsum f l2.
Proof. induction l1; simpl; lia. Qed.
Lemma lsum_plus f g l : lsum (fun x => f x + g x) l = lsum f l + lsum g l.
Proof. induction l; simpl; lia. Qed.
Lemma lsum_scal c f l : lsum (fun x => c * f x) l = c * lsum f l.
Proof. induction l; simpl; lia. Qed.
Lemma lsum_zero f l : (forall x, In x l -> f x = 0) -> lsum f l = 0.
Proof. induction l; simpl; intros H; [reflexivity|]. rewrite H, IHl; auto. Qed.
Lemma lsum_perm f l1 l2 : Permutation l1 l2 -> lsum f l1 = lsum f l2.
Proof. induction 1; simpl; lia. Qed.
Lemma lsum_filter f (p : A -> bool) l : lsum f (filter p l) = lsum (fun x => if p x then f x else 0) l.
Proof. induction l; simpl; [reflexivity|]. destruct (p a); simpl; lia. Qed.

(** The positive part of a sum without repetitions is held by any list that holds its tokens. *)
Lemma lsum_incl f l1 l2 : (forall x, 0 <= f x) -> NoDup l1 ->
  (forall x, In x l1 -> 0 < f x -> In x l2) -> lsum f l1 <= lsum f l2.
Proof.
  intros Hf. revert l2. induction l1 as [|a l1 IH]; intros l2 ND H; simpl.
  - apply lsum_nonneg. auto.
  - inversion ND as [|? ? Ha ND']; subst. destruct (Z.eq_dec (f a) 0) as [E|E].
    + rewrite E. apply IH; [exact ND'|]. intros; apply H; [right|]; auto.
    + assert (I : In a l2). { apply H; [left; reflexivity|]. specialize (Hf a). lia. }
      apply in_split in I as (p & s & ->). rewrite lsum_app. simpl.
      assert (lsum f l1 <= lsum f (p ++ s)).
      { apply IH; [exact ND'|]. intros x Hx Px. specialize (H x (or_intror Hx) Px).
        rewrite in_app_iff in *. destruct H as [|[->|]]; auto. contradiction. }
      rewrite lsum_app in *. lia.
Qed.
End Lsum.

Lemma lsum_map {A B} (h : A -> B) f l : lsum f (map h l) = lsum (fun x => f (h x)) l.
Proof. induction l; simpl; lia. Qed.
Lemma lsum_flat_map {A B} (h : A -> list B) f l : lsum f (flat_map h l) = lsum (fun x => lsum f (h x)) l.
Proof. induction l; simpl; [reflexivity|]. rewrite lsum_app. lia. Qed.
Lemma lsum_swap {A B} (f : A -> B -> Z) l1 l2 :
  lsum (fun x => lsum (f x) l2) l1 = lsum (fun y => lsum (fun x => f x y) l1) l2.
Proof. induction l1; simpl; [symmetry; apply lsum_zero; auto|]. rewrite IHl1, lsum_plus. reflexivity. Qed.

Lemma lsum_delta (f : nat -> Z) c l : NoDup l ->
  lsum (fun x => if Nat.eqb c x then f x else 0) l = if existsb (Nat.eqb c) l then f c else 0.
Proof.
  induction l as [|a l IH]; intros ND; simpl; [reflexivity|]. inversion ND as [|? ? Ha ND']; subst.
  rewrite IH by exact ND'. destruct (Nat.eqb_spec c a) as [->|E]; simpl; [|lia].
  replace (existsb (Nat.eqb a) l) with false; [lia|]. symmetry. apply not_true_is_false. intros X.
  apply existsb_exists in X as (x & I & E). apply Nat.eqb_eq in E. subst. contradiction.
Qed.

(** ** Inputs and their weights *)
Fixpoint inputs (V n : nat) : list (list nat) :=
  match n with O => [[]] | S j => flat_map (fun t => map (cons t) (inputs V j)) (seq 0 V) end.
Fixpoint wt (W : nat -> nat -> Z) (i : nat) (ts : list nat) : Z :=
  match ts with [] => 1 | t :: r => W i t * wt W (S i) r end.
Definition massi W i V n (Q : list nat -> bool) : Z :=
  lsum (fun ts => if Q ts then wt W i ts else 0) (inputs V n).
Definition mass W V n Q : Z := massi W 0 V n Q.

Definition ok (V n : nat) (ts : list nat) : Prop := length ts = n /\ forall t, In t ts -> (t < V)%nat.

Lemma in_inputs V n ts : In ts (inputs V n) <-> ok V n ts.
Proof.
  revert ts. induction n; intros ts; simpl.
  - split; [intros [<-|[]]; split; [reflexivity|intros t []]|intros [L _]]. destruct ts; [left; reflexivity|discriminate].
  - rewrite in_flat_map. split.
    + intros (t & Ht & I). apply in_map_iff in I as (r & <- & Ir). apply IHn in Ir as [L B]. apply in_seq in Ht.
      split; [simpl; lia|]. intros x [<-|X]; [lia|auto].
    + intros [L B]. destruct ts as [|t r]; [discriminate|]. exists t. split; [apply in_seq; specialize (B t (or_introl eq_refl)); lia|].
      apply in_map. apply IHn. split; [simpl in L; lia|]. intros; apply B; right; auto.
Qed.

Section Mass.
Variables (W : nat -> nat -> Z) (V : nat).
Hypothesis HW : forall i t, 0 <= W i t.
Notation massi := (massi W).

Lemma wt_nonneg i ts : 0 <= wt W i ts.
Proof. revert i. induction ts; intros i; simpl; [lia|]. specialize (IHts (S i)). specialize (HW i a). nia. Qed.
Lemma massi_O i Q : massi i V 0 Q = if Q [] then 1 else 0.
Proof. unfold Inputs.massi. simpl. destruct (Q []); reflexivity. Qed.
Lemma massi_S i n Q : massi i V (S n) Q = lsum (fun t => W i t * massi (S i) V n (fun ts => Q (t :: ts))) (seq 0 V).
Proof.
  unfold Inputs.massi. cbn [inputs]. rewrite lsum_flat_map. apply lsum_ext. intros t _. rewrite lsum_map, <- lsum_scal.
  apply lsum_ext. intros ts _. destruct (Q (t :: ts)); simpl; lia.
Qed.
Lemma massi_le i n P Q : (forall ts, ok V n ts -> P ts = true -> Q ts = true) -> massi i V n P <= massi i V n Q.
Proof.
  intros H. apply lsum_le. intros ts I. apply in_inputs in I. pose proof (wt_nonneg i ts).
  destruct (P ts) eqn:E; [rewrite (H ts I E)|destruct (Q ts)]; lia.
Qed.
Lemma massi_ext i n P Q : (forall ts, ok V n ts -> P ts = Q ts) -> massi i V n P = massi i V n Q.
Proof. intros H. apply lsum_ext. intros ts I. apply in_inputs in I. rewrite (H ts I). reflexivity. Qed.
Lemma massi_nonneg i n P : 0 <= massi i V n P.
Proof. apply lsum_nonneg. intros ts _. pose proof (wt_nonneg i ts). destruct (P ts); lia. Qed.
Lemma massi_false i n P : (forall ts, ok V n ts -> P ts = false) -> massi i V n P = 0.
Proof. intros H. apply lsum_zero. intros ts I. apply in_inputs in I. rewrite (H ts I). reflexivity. Qed.
Lemma massi_split i n P Q : massi i V n P = massi i V n (fun ts => P ts && Q ts) + massi i V n (fun ts => P ts && negb (Q ts)).
Proof. unfold Inputs.massi. rewrite <- lsum_plus. apply lsum_ext. intros ts _. destruct (P ts), (Q ts); simpl; lia. Qed.

(** Boxes: one set of tokens for each position. *)
Fixpoint allb (b : nat -> nat -> bool) (i : nat) (ts : list nat) : bool :=
  match ts with [] => true | t :: r => b i t && allb b (S i) r end.
Fixpoint zprod (i n : nat) (f : nat -> Z) : Z := match n with O => 1 | S j => f i * zprod (S i) j f end.
Lemma zprod_ext n f g : forall i, (forall p, (i <= p < i + n)%nat -> f p = g p) -> zprod i n f = zprod i n g.
Proof. induction n; intros i H; simpl; [reflexivity|]. rewrite H, (IHn (S i)) by (intros; try apply H; lia). reflexivity. Qed.
Lemma zprod_last n f : forall i, zprod i (S n) f = zprod i n f * f (i + n)%nat.
Proof.
  induction n; intros i; [cbn [zprod]; rewrite Nat.add_0_r; ring|]. change (zprod i (S (S n)) f) with (f i * zprod (S i) (S n) f).
  rewrite IHn. cbn [zprod]. replace (S i + n)%nat with (i + S n)%nat by lia. ring.
Qed.

(** SPEC-5.3 *)
Lemma mass_box b n : forall i, massi i V n (allb b i) = zprod i n (fun p => lsum (fun t => if b p t then W p t else 0) (seq 0 V)).
Proof.
  induction n; intros i; [rewrite massi_O; reflexivity|]. rewrite massi_S. cbn [zprod allb].
  rewrite Z.mul_comm, <- lsum_scal. apply lsum_ext. intros t _. destruct (b i t); simpl.
  - rewrite IHn. lia.
  - rewrite massi_false by reflexivity. lia.
Qed.

Lemma allb_spec b ts : forall i, allb b i ts = true <-> forall p, (p < length ts)%nat -> b (i + p)%nat (nth p ts 0%nat) = true.
Proof.
  induction ts as [|t ts IH]; intros i; simpl; [split; intros; [lia|reflexivity]|]. rewrite andb_true_iff, IH. split.
  - intros [A B] [|p] Hp; [rewrite Nat.add_0_r; exact A|]. replace (i + S p)%nat with (S i + p)%nat by lia. apply B. lia.
  - intros H. split; [rewrite <- (Nat.add_0_r i); apply (H 0%nat); lia|]. intros p Hp. replace (S i + p)%nat with (i + S p)%nat by lia. apply (H (S p)). lia.
Qed.
End Mass.

(** ** Cells *)
Definition maxl (ts : list nat) : nat := fold_right Nat.max 0%nat ts.
Definition query_of (ts : list nat) : nat := last ts 0%nat.
Definition in_cell (m : nat) (qs : list nat) (ts : list nat) : bool :=
  Nat.eqb (maxl ts) m && existsb (Nat.eqb (query_of ts)) qs.

Lemma maxl_ge ts p : (nth p ts 0 <= maxl ts)%nat.
Proof. revert p. induction ts; intros [|p]; simpl; try lia. specialize (IHts p). lia. Qed.
Lemma maxl_in ts : (0 < length ts)%nat -> exists p, (p < length ts)%nat /\ nth p ts 0%nat = maxl ts.
Proof.
  induction ts as [|t ts IH]; [simpl; lia|]. intros _. change (maxl (t :: ts)) with (Nat.max t (maxl ts)).
  destruct (Nat.max_spec t (maxl ts)) as [[L E]|[L E]]; rewrite E.
  - destruct ts as [|u r]; [simpl in L; lia|]. destruct (IH ltac:(simpl; lia)) as (p & Hp & Ep). exists (S p). split; [simpl in *; lia|exact Ep].
  - exists 0%nat. split; [simpl; lia|reflexivity].
Qed.
Lemma maxl_le ts m : (maxl ts <= m)%nat <-> forall p, (p < length ts)%nat -> (nth p ts 0 <= m)%nat.
Proof.
  split; [intros H p _; pose proof (maxl_ge ts p); lia|]. intros H. destruct ts as [|t ts]; [simpl; lia|].
  destruct (maxl_in (t :: ts) ltac:(simpl; lia)) as (p & Hp & <-). auto.
Qed.
Lemma query_nth k ts : length ts = S k -> query_of ts = nth k ts 0%nat.
Proof.
  unfold query_of. revert k. induction ts as [|t ts IH]; intros k L; [discriminate|]. simpl in L.
  destruct ts as [|u ts]; [simpl in L; injection L as <-; reflexivity|]. destruct k as [|k]; [simpl in L; lia|].
  change (last (u :: ts) 0%nat = nth k (u :: ts) 0%nat). apply IH. lia.
Qed.
Lemma maxl_ok V n ts : (0 < V)%nat -> ok V n ts -> (maxl ts < V)%nat.
Proof.
  intros HV [L B]. destruct ts as [|t ts]; [simpl; lia|]. destruct (maxl_in (t :: ts) ltac:(simpl; lia)) as (p & Hp & <-).
  apply B. apply nth_In. exact Hp.
Qed.
Lemma existsb_eqb x l : existsb (Nat.eqb x) l = true <-> In x l.
Proof.
  rewrite existsb_exists. split; [intros (y & I & E); apply Nat.eqb_eq in E; subst; auto|]. intros I. exists x. split; [auto|apply Nat.eqb_refl].
Qed.

(** What an input of a cell looks like: some position holds the maximum, none more; the last holds a query. *)
Lemma in_cell_spec k m qs ts : length ts = S k ->
  (in_cell m qs ts = true <->
   (forall p, (p <= k)%nat -> (nth p ts 0 <= m)%nat) /\ (exists p, (p <= k)%nat /\ nth p ts 0%nat = m) /\ In (nth k ts 0%nat) qs).
Proof.
  intros L. unfold in_cell. rewrite (query_nth k) by exact L. rewrite andb_true_iff, Nat.eqb_eq, existsb_eqb. split.
  - intros [<- I]. repeat split; [intros; apply maxl_ge| |exact I]. destruct (maxl_in ts ltac:(lia)) as (p & Hp & E). exists p. split; [lia|exact E].
  - intros (A & (p & Hp & E) & I). split; [|exact I]. apply Nat.le_antisymm; [apply maxl_le; intros; apply A; lia|]. rewrite <- E. apply maxl_ge.
Qed.

Section Cells.
Variables (W : nat -> nat -> Z) (V k : nat).
Hypothesis HW : forall i t, 0 <= W i t.
Notation mass := (mass W V (S k)).

(** The weight of the inputs of a cell with a property, as a sum over its queries. *)
Definition cellmass (m : nat) (qs : list nat) (P : list nat -> bool) : Z := lsum (fun q => mass (fun ts => in_cell m [q] ts && P ts)) qs.

Lemma in_cell_one m q ts : in_cell m [q] ts = Nat.eqb (maxl ts) m && Nat.eqb (query_of ts) q.
Proof. unfold in_cell. simpl. rewrite orb_false_r. reflexivity. Qed.

Lemma cellmass_mass m qs P : NoDup qs -> cellmass m qs P = mass (fun ts => in_cell m qs ts && P ts).
Proof.
  intros ND. unfold cellmass, Inputs.mass, massi. rewrite lsum_swap. apply lsum_ext. intros ts _.
  rewrite (lsum_ext _ (fun q => if Nat.eqb (query_of ts) q then (if Nat.eqb (maxl ts) m && P ts then wt W 0 ts else 0) else 0)).
  - rewrite (lsum_delta (fun _ => if Nat.eqb (maxl ts) m && P ts then wt W 0 ts else 0)) by exact ND. unfold in_cell.
    destruct (existsb _ _), (Nat.eqb (maxl ts) m), (P ts); reflexivity.
  - intros q _. rewrite in_cell_one. destruct (Nat.eqb _ q), (Nat.eqb _ m), (P ts); reflexivity.
Qed.

Lemma cellmass_perm m a b P : Permutation a b -> cellmass m a P = cellmass m b P.
Proof. apply lsum_perm. Qed.
Lemma cellmass_app m a b P : cellmass m (a ++ b) P = cellmass m a P + cellmass m b P.
Proof. apply lsum_app. Qed.
Lemma cellmass_nonneg m qs P : 0 <= cellmass m qs P.
Proof. apply lsum_nonneg. intros. apply massi_nonneg, HW. Qed.
Lemma cellmass_split m qs P Q : cellmass m qs P = cellmass m qs (fun ts => P ts && Q ts) + cellmass m qs (fun ts => P ts && negb (Q ts)).
Proof.
  unfold cellmass. rewrite <- lsum_plus. apply lsum_ext. intros q _. unfold Inputs.mass. rewrite (massi_split W V 0 _ _ Q).
  f_equal; apply massi_ext; intros; rewrite andb_assoc; reflexivity.
Qed.
Lemma cellmass_le m qs P Q : (forall q ts, In q qs -> ok V (S k) ts -> in_cell m [q] ts = true -> P ts = true -> Q ts = true) -> cellmass m qs P <= cellmass m qs Q.
Proof.
  intros H. apply lsum_le. intros q I. apply massi_le; [exact HW|]. intros ts O E. apply andb_prop in E as [E F]. rewrite E. simpl. eauto.
Qed.

(** SPEC-7.1: the cells of all maxima, over all queries up to each, hold every input once. *)
Theorem tiling P : (0 < V)%nat -> mass P = lsum (fun m => cellmass m (seq 0 (S m)) P) (seq 0 V).
Proof.
  intros HV. rewrite (lsum_ext _ (fun m => mass (fun ts => in_cell m (seq 0 (S m)) ts && P ts))) by (intros; apply cellmass_mass, seq_NoDup).
  unfold Inputs.mass, massi. rewrite lsum_swap. apply lsum_ext. intros ts I. apply in_inputs in I.
  rewrite (lsum_ext _ (fun m => if Nat.eqb (maxl ts) m then (if P ts then wt W 0 ts else 0) else 0)).
  - rewrite (lsum_delta (fun _ => if P ts then wt W 0 ts else 0)) by apply seq_NoDup.
    replace (existsb _ _) with true; [reflexivity|]. symmetry. apply existsb_eqb, in_seq. pose proof (maxl_ok V (S k) ts HV I). lia.
  - intros m _. unfold in_cell. destruct (Nat.eqb_spec (maxl ts) m) as [E|E]; [|reflexivity].
    replace (existsb _ _) with true; [reflexivity|]. symmetry. apply existsb_eqb, in_seq.
    rewrite (query_nth k) by apply I. pose proof (maxl_ge ts k). lia.
Qed.

(** SPEC-7.1 *)
Theorem tiling_roots {A} (mx : A -> nat) (qs : A -> list nat) (roots : list A) P : (0 < V)%nat ->
  (forall m, (m < V)%nat -> Permutation (flat_map (fun c => if Nat.eqb (mx c) m then qs c else []) roots) (seq 0 (S m))) ->
  (forall c, In c roots -> (mx c < V)%nat) ->
  mass P = lsum (fun c => cellmass (mx c) (qs c) P) roots.
Proof.
  intros HV T B. rewrite tiling by exact HV.
  rewrite (lsum_ext _ (fun m => lsum (fun c => if Nat.eqb (mx c) m then cellmass (mx c) (qs c) P else 0) roots)).
  - rewrite lsum_swap. apply lsum_ext. intros c I. rewrite (lsum_delta (fun _ => cellmass (mx c) (qs c) P)) by apply seq_NoDup.
    replace (existsb _ _) with true; [reflexivity|]. symmetry. apply existsb_eqb, in_seq. specialize (B c I). lia.
  - intros m Hm. apply in_seq in Hm. rewrite <- (cellmass_perm m _ _ P (T m ltac:(lia))). unfold cellmass at 1. rewrite lsum_flat_map.
    apply lsum_ext. intros c _. destruct (Nat.eqb_spec (mx c) m) as [->|]; reflexivity.
Qed.

(** SPEC-7.2, sizes. *)
Definition upto (c i t : nat) (qs : list nat) : bool := if (i <? k)%nat then (t <? c)%nat else existsb (Nat.eqb t) qs.
Definition cellsize (m : nat) (qs : list nat) : Z :=
  let prod c := zprod 0 k (fun i => lsum (W i) (seq 0 c)) in
  let below := match qs with [q] => Nat.eqb q m | _ => false end in
  (prod (S m) - (if below then 0 else prod m)) * lsum (W k) qs.

Lemma seq_restrict (f : nat -> Z) c : (c <= V)%nat -> lsum (fun t => if (t <? c)%nat then f t else 0) (seq 0 V) = lsum f (seq 0 c).
Proof.
  intros H. replace V with (c + (V - c))%nat by lia. rewrite seq_app, lsum_app. rewrite (lsum_zero _ (seq (0 + c) (V - c))).
  - rewrite Z.add_0_r. apply lsum_ext. intros t I. apply in_seq in I. destruct (Nat.ltb_spec t c); [reflexivity|lia].
  - intros t I. apply in_seq in I. destruct (Nat.ltb_spec t c); [lia|reflexivity].
Qed.
Lemma lsum_members (f : nat -> Z) qs : NoDup qs -> (forall q, In q qs -> (q < V)%nat) ->
  lsum (fun t => if existsb (Nat.eqb t) qs then f t else 0) (seq 0 V) = lsum f qs.
Proof.
  intros ND B. rewrite (lsum_ext _ (fun t => lsum (fun q => if Nat.eqb t q then f q else 0) qs)).
  - rewrite lsum_swap. apply lsum_ext. intros q I.
    rewrite (lsum_ext _ (fun t => if Nat.eqb q t then f t else 0)).
    + rewrite lsum_delta by apply seq_NoDup. replace (existsb _ _) with true; [reflexivity|]. symmetry. apply existsb_eqb, in_seq. specialize (B q I). lia.
    + intros t _. rewrite Nat.eqb_sym. destruct (Nat.eqb_spec q t) as [->|]; reflexivity.
  - intros t _. rewrite lsum_delta by exact ND. reflexivity.
Qed.
Lemma mass_upto c qs : (c <= V)%nat -> NoDup qs -> (forall q, In q qs -> (q < V)%nat) ->
  massi W 0 V (S k) (allb (fun i t => upto c i t qs) 0) = zprod 0 k (fun i => lsum (W i) (seq 0 c)) * lsum (W k) qs.
Proof.
  intros Hc ND B. rewrite mass_box, zprod_last. f_equal.
  - apply zprod_ext. intros p Hp. unfold upto. destruct (Nat.ltb_spec p k); [|lia]. apply seq_restrict, Hc.
  - unfold upto. simpl Nat.add. rewrite Nat.ltb_irrefl. apply lsum_members; assumption.
Qed.

Definition fits (m : nat) (qs : list nat) : Prop := NoDup qs /\ (qs = [m] \/ forall q, In q qs -> (q < m)%nat).

(** SPEC-7.2 *)
Theorem cellsize_sound m qs : (m < V)%nat -> fits m qs -> cellsize m qs = cellmass m qs (fun _ => true).
Proof.
  intros Hm [ND Fit]. rewrite cellmass_mass by exact ND.
  assert (B : forall q, In q qs -> (q < V)%nat).
  { destruct Fit as [->|F]; [intros q [<-|[]]; exact Hm|intros q I; specialize (F q I); lia]. }
  unfold cellsize. rewrite Z.mul_sub_distr_r, <- (mass_upto (S m) qs) by (assumption || lia).
  set (below := match qs with [q] => Nat.eqb q m | _ => false end).
  destruct below eqn:E.
  - assert (Q : qs = [m]). { unfold below in E. destruct qs as [|q [|]]; try discriminate. apply Nat.eqb_eq in E. subst. reflexivity. }
    rewrite Z.mul_0_l, Z.sub_0_r. unfold Inputs.mass. apply massi_ext. intros ts [L O]. rewrite andb_true_r. apply eq_true_iff_eq.
    rewrite (in_cell_spec k) by exact L. rewrite allb_spec, L, Q. unfold upto. simpl Nat.add. split.
    + intros H. split; [|split].
      * intros p Hp. specialize (H p ltac:(lia)). destruct (Nat.ltb_spec p k); [apply Nat.ltb_lt in H; lia|]. apply existsb_eqb in H as [<-|[]]. lia.
      * exists k. split; [lia|]. specialize (H k ltac:(lia)). rewrite Nat.ltb_irrefl in H. apply existsb_eqb in H as [<-|[]]. reflexivity.
      * specialize (H k ltac:(lia)). rewrite Nat.ltb_irrefl in H. apply existsb_eqb in H. exact H.
    + intros (A & _ & I) p Hp. destruct (Nat.ltb_spec p k); [apply Nat.ltb_lt; specialize (A p ltac:(lia)); lia|].
      replace p with k by lia. apply existsb_eqb. exact I.
  - assert (F : forall q, In q qs -> (q < m)%nat).
    { destruct Fit as [Q|F]; [|exact F]. unfold below in E. rewrite Q, Nat.eqb_refl in E. discriminate. }
    rewrite <- (mass_upto m qs) by (assumption || lia). unfold Inputs.mass.
    rewrite (massi_split W V 0 _ (allb (fun i t => upto (S m) i t qs) 0) (allb (fun i t => upto m i t qs) 0)).
    rewrite (massi_ext W V 0 _ (fun ts => allb (fun i t => upto (S m) i t qs) 0 ts && allb (fun i t => upto m i t qs) 0 ts) (allb (fun i t => upto m i t qs) 0)).
    2:{ intros ts [L _]. apply eq_true_iff_eq. rewrite andb_true_iff. split; [intros [_ H]; exact H|intros H; split; [|exact H]]. rewrite allb_spec in *. intros p Hp. specialize (H p Hp). unfold upto in *. simpl Nat.add in *. destruct (Nat.ltb_spec p k); [apply Nat.ltb_lt in H; apply Nat.ltb_lt; lia|exact H]. }
    match goal with |- ?a + ?b - ?a = ?c => enough (b = c) by lia end. apply massi_ext. intros ts [L O]. rewrite andb_true_r. apply eq_true_iff_eq.
    rewrite (in_cell_spec k) by exact L. rewrite andb_true_iff, negb_true_iff, allb_spec, L. unfold upto. simpl Nat.add.
    split.
    + intros [H N]. assert (A : forall p, (p <= k)%nat -> (nth p ts 0 <= m)%nat).
      { intros p Hp. specialize (H p ltac:(lia)). destruct (Nat.ltb_spec p k); [apply Nat.ltb_lt in H; lia|]. apply existsb_eqb in H. specialize (F _ H). lia. }
      split; [exact A|]. assert (I : In (nth k ts 0%nat) qs) by (specialize (H k ltac:(lia)); rewrite Nat.ltb_irrefl in H; apply existsb_eqb in H; exact H).
      split; [|exact I]. destruct (maxl_in ts ltac:(lia)) as (p & Hp & Ep). exists p. split; [lia|]. destruct (Nat.eq_dec (nth p ts 0%nat) m) as [|D]; [assumption|].
      exfalso. apply not_true_iff_false in N. apply N. apply allb_spec. intros r Hr. simpl Nat.add. unfold upto. destruct (Nat.ltb_spec r k).
      * apply Nat.ltb_lt. pose proof (maxl_ge ts r). specialize (A p ltac:(lia)). lia.
      * replace r with k by lia. apply existsb_eqb. exact I.
    + intros (A & (p & Hp & Ep) & I). split.
      * intros r Hr. destruct (Nat.ltb_spec r k); [apply Nat.ltb_lt; specialize (A r ltac:(lia)); lia|]. replace r with k by lia. apply existsb_eqb. exact I.
      * apply not_true_iff_false. intros H. rewrite allb_spec, L in H. specialize (H p ltac:(lia)). simpl Nat.add in H. unfold upto in H.
        destruct (Nat.ltb_spec p k); [apply Nat.ltb_lt in H; lia|]. replace p with k in * by lia. apply F in I. lia.
Qed.
End Cells.
