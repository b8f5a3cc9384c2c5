(** SPEC-7.6: the extreme test of one wrong answer, over the integers. *)
Require Import Lia ZArith Arith List Bool.
From Certify Require Import Sums ExpZ Paths Terms.
Import ListNotations.
Open Scope Z_scope.

Definition omax (a b : option Z) : option Z :=
  match a, b with Some x, Some y => Some (Z.max x y) | Some x, None => Some x | None, y => y end.
Definition omaxl (l : list (option Z)) : option Z := fold_right omax None l.
Lemma omaxl_ge l x : In (Some x) l -> exists y, omaxl l = Some y /\ x <= y.
Proof.
  induction l as [|a l IH]; simpl; [intros []|]. intros [->|I].
  - destruct (omaxl l) as [y|]; simpl; eexists; split; try reflexivity; lia.
  - destruct (IH I) as (y & -> & L). destruct a; simpl; eexists; split; try reflexivity; lia.
Qed.
Lemma omaxl_lt l c y : (forall x, In (Some x) l -> x < c) -> omaxl l = Some y -> y < c.
Proof.
  revert y. induction l as [|a l IH]; simpl; intros y H Ey; [discriminate|].
  assert (H' : forall x, In (Some x) l -> x < c) by (intros; apply H; auto).
  destruct a as [x|]; simpl in Ey; [|apply IH; auto]. assert (x < c) by (apply H; auto).
  destruct (omaxl l) as [z|]; injection Ey as <-; [specialize (IH z H' eq_refl)|]; lia.
Qed.

(** ** The program *)
Section Test.
Variables (k last : nat) (forced : bool) (rows : nat -> list (nat * Z)).
Definition tops : nat -> Z := memo (S k) (fun i => zmax snd (rows i)) 0.
Definition at_last (row : list (nat * Z)) : option Z :=
  match filter (fun e => Nat.eqb (fst e) last) row with [] => None | l => Some (zmax snd l) end.
Definition gains (tops : nat -> Z) : nat -> option Z :=
  memo k (fun i => match at_last (rows i) with None => None | Some x => Some (x - tops i) end) None.
Definition gain_without (gains : nat -> option Z) (i : nat) : option Z :=
  if forced then omaxl (map (fun p => if Nat.eqb p i then None else gains p) (seq 0 k)) else Some 0.
Definition block_sum (g : option Z) (i : nat) (rest : Z) (e : nat * Z) : option Z :=
  if (Nat.eqb (fst e) last && (i <? k)%nat)%bool then Some (snd e + rest)
  else match g with None => None | Some g => Some (snd e + rest + g) end.
Definition negative (s : option Z) : option Z := match s with Some x => if x <? 0 then s else None | None => None end.
Definition stays (s : option Z) : bool := match s with Some x => 0 <=? x | None => false end.

(** The terms that a failing input may hold, or none, and the largest sum removed. *)
Definition tested : option (nat -> list (nat * Z)) * option Z :=
  if existsb (fun i => match rows i with [] => true | _ => false end) (seq 0 (S k)) then (None, None) else
  let tops := tops in let gains := gains tops in let total := Zsum (S k) tops in
  match gain_without gains (S k) with
  | None => (None, None)
  | Some g =>
    if total + g <? 0 then (None, Some (total + g)) else
    let sums := memo (S k) (fun i => let gi := gain_without gains i in let rest := total - tops i in
                                     map (fun e => (e, block_sum gi i rest e)) (rows i)) [] in
    (Some (memo (S k) (fun i => map fst (filter (fun s => stays (snd s)) (sums i))) []),
     omaxl (flat_map (fun i => map (fun s => negative (snd s)) (sums i)) (seq 0 (S k))))
  end.
End Test.

(** ** What it proves *)
Lemma Zsum_le n f g : (forall i, (i < n)%nat -> f i <= g i) -> Zsum n f <= Zsum n g.
Proof. induction n; simpl; intros H; [lia|]. assert (f n <= g n) by (apply H; lia). assert (Zsum n f <= Zsum n g) by (apply IHn; intros; apply H; lia). lia. Qed.
Lemma Zsum_but_one n f g p : (p < n)%nat -> (forall i, (i < n)%nat -> i <> p -> f i <= g i) -> Zsum n f <= Zsum n g + (f p - g p).
Proof.
  induction n; intros Hp H; [lia|]. simpl. destruct (Nat.eq_dec p n) as [->|E].
  - assert (Zsum n f <= Zsum n g) by (apply Zsum_le; intros; apply H; lia). lia.
  - assert (f n <= g n) by (apply H; lia). assert (Zsum n f <= Zsum n g + (f p - g p)) by (apply IHn; [lia|intros; apply H; lia]). lia.
Qed.
Lemma Zsum_but_two n f g p r : (p < n)%nat -> (r < n)%nat -> p <> r -> (forall i, (i < n)%nat -> i <> p -> i <> r -> f i <= g i) ->
  Zsum n f <= Zsum n g + (f p - g p) + (f r - g r).
Proof.
  intros Hp Hr E H. set (g' := fun i => if Nat.eqb i r then f i else g i).
  assert (A : Zsum n f <= Zsum n g' + (f p - g' p)).
  { apply Zsum_but_one; [exact Hp|]. intros i Hi Hip. unfold g'. destruct (Nat.eqb_spec i r); [lia|apply H; auto]. }
  assert (B : Zsum n g' <= Zsum n g + (g' r - g r)).
  { apply Zsum_but_one; [exact Hr|]. intros i Hi Hir. unfold g'. destruct (Nat.eqb_spec i r); [contradiction|lia]. }
  unfold g' in A at 2, B at 2. rewrite Nat.eqb_refl in B. destruct (Nat.eqb_spec p r); [contradiction|lia].
Qed.

Section Sound.
Variables (k last : nat) (forced : bool) (rows : nat -> list (nat * Z)).
Variables (bs : nat -> nat) (xs : nat -> Z).
Hypothesis held : forall i, (i <= k)%nat -> In (bs i, xs i) (rows i).
Hypothesis holds_max : forced = true -> exists p, (p < k)%nat /\ bs p = last.
Notation tops := (tops k rows). Notation gains := (gains k last rows tops).
Notation total := (Zsum (S k) tops).

Lemma top_ge i : (i <= k)%nat -> xs i <= tops i.
Proof. intros Hi. unfold Extreme.tops. rewrite memo_eq by lia. change (xs i) with (snd (bs i, xs i)). apply zmax_ge. auto. Qed.

Lemma at_last_ge p : (p <= k)%nat -> bs p = last -> exists x, at_last last (rows p) = Some x /\ xs p <= x.
Proof.
  intros Hp Eb. unfold at_last. assert (I : In (bs p, xs p) (filter (fun e => Nat.eqb (fst e) last) (rows p))).
  { apply filter_In. split; [auto|]. cbn [fst]. apply Nat.eqb_eq. exact Eb. }
  destruct (filter _ _) as [|e l] eqn:Fl; [destruct I|]. eexists. split; [reflexivity|]. apply (zmax_ge snd) in I. exact I.
Qed.
Lemma gain_ge p : (p < k)%nat -> bs p = last -> exists g, gains p = Some g /\ xs p - tops p <= g.
Proof.
  intros Hp Eb. unfold Extreme.gains. rewrite memo_eq by exact Hp. destruct (at_last_ge p ltac:(lia) Eb) as (x & -> & L).
  eexists. split; [reflexivity|]. lia.
Qed.
Lemma gain_without_ge i p : forced = true -> (p < k)%nat -> p <> i -> bs p = last ->
  exists g, gain_without k forced gains i = Some g /\ xs p - tops p <= g.
Proof.
  intros Hf Hp Hpi Eb. destruct (gain_ge p Hp Eb) as (g & Eg & L). unfold gain_without. rewrite Hf.
  destruct (omaxl_ge (map (fun p => if Nat.eqb p i then None else gains p) (seq 0 k)) g) as (y & -> & Ly).
  - apply in_map_iff. exists p. split; [|apply in_seq; lia]. destruct (Nat.eqb_spec p i); [contradiction|exact Eg].
  - eexists. split; [reflexivity|]. lia.
Qed.

(** The sum of the terms of an input is at most what is tested, as a whole and block by block. *)
Lemma whole : exists g, gain_without k forced gains (S k) = Some g /\ Zsum (S k) xs <= total + g.
Proof.
  destruct forced eqn:Hf.
  - destruct (holds_max eq_refl) as (p & Hp & Eb). destruct (gain_without_ge (S k) p Hf Hp ltac:(lia) Eb) as (g & Eg & L). exists g. rewrite <- Hf. split; [exact Eg|].
    assert (Zsum (S k) xs <= total + (xs p - tops p)) by (apply Zsum_but_one; [lia|]; intros i Hi _; apply top_ge; lia). lia.
  - exists 0. split; [reflexivity|]. assert (Zsum (S k) xs <= total) by (apply Zsum_le; intros; apply top_ge; lia). lia.
Qed.

Lemma each i : (i <= k)%nat -> exists s, block_sum k last (gain_without k forced gains i) i (total - tops i) (bs i, xs i) = Some s /\ Zsum (S k) xs <= s.
Proof.
  intros Hi. unfold block_sum. cbn [fst snd].
  assert (One : Zsum (S k) xs <= total + (xs i - tops i)) by (apply Zsum_but_one; [lia|]; intros p Hp _; apply top_ge; lia).
  destruct (Nat.eqb_spec (bs i) last) as [Eb|Eb]; destruct (Nat.ltb_spec i k) as [Hik|Hik]; cbn [andb];
    try (eexists; split; [reflexivity|lia]).
  all: destruct forced eqn:Hf; [|exists (xs i + (total - tops i) + 0); split; [unfold gain_without; reflexivity|lia]].
  all: destruct (holds_max eq_refl) as (p & Hp & Ep); assert (p <> i) by (intros ->; (contradiction || lia));
    destruct (gain_without_ge i p Hf Hp ltac:(assumption) Ep) as (g & Eg & L); rewrite Hf in Eg; rewrite Eg; eexists; (split; [reflexivity|]);
    assert (Zsum (S k) xs <= total + (xs i - tops i) + (xs p - tops p)) by (apply Zsum_but_two; [lia|lia|lia|]; intros r Hr _ _; apply top_ge; lia); lia.
Qed.

(** SPEC-7.6 *)
Theorem tested_sound :
  (exists rows', fst (tested k last forced rows) = Some rows' /\ forall i, (i <= k)%nat -> In (bs i, xs i) (rows' i)) \/
  (exists s, snd (tested k last forced rows) = Some s /\ Zsum (S k) xs <= s /\ s < 0).
Proof.
  unfold tested. destruct (existsb _ _) eqn:Ex.
  { exfalso. apply existsb_exists in Ex as (i & I & Er). apply in_seq in I. specialize (held i ltac:(lia)). destruct (rows i); [destruct held|discriminate]. }
  destruct whole as (g & Eg & L). cbv zeta. rewrite Eg.
  destruct (Z.ltb_spec (total + g) 0) as [Hneg|Hpos]; [right; eexists; cbn [snd]; split; [reflexivity|]; lia|].
  cbn [fst snd].
  set (sums := memo (S k) (fun i0 : nat => map (fun e : nat * Z => (e, block_sum k last (gain_without k forced gains i0) i0 (total - tops i0) e)) (rows i0)) []).
  assert (Is : forall i, (i <= k)%nat -> In ((bs i, xs i), block_sum k last (gain_without k forced gains i) i (total - tops i) (bs i, xs i)) (sums i)).
  { intros i Hi. unfold sums. rewrite memo_eq by lia. apply (in_map (fun e => (e, block_sum k last (gain_without k forced gains i) i (total - tops i) e))). auto. }
  set (os := flat_map _ _).
  assert (D : (forall i, (i <= k)%nat -> stays (block_sum k last (gain_without k forced gains i) i (total - tops i) (bs i, xs i)) = true) \/
              (exists i, (i <= k)%nat /\ stays (block_sum k last (gain_without k forced gains i) i (total - tops i) (bs i, xs i)) = false)).
  { set (f := fun i => stays (block_sum k last (gain_without k forced gains i) i (total - tops i) (bs i, xs i))). change ((forall i, (i <= k)%nat -> f i = true) \/ (exists i, (i <= k)%nat /\ f i = false)).
    destruct (forallb f (seq 0 (S k))) eqn:Fa; [left|right].
    - rewrite forallb_forall in Fa. intros i Hi. apply Fa, in_seq. lia.
    - clear - Fa. assert (G : forall l, forallb f l = false -> exists i, In i l /\ f i = false).
      { induction l as [|a l IH]; simpl; [discriminate|]. destruct (f a) eqn:Ea; [intros H; destruct (IH H) as (i & ? & ?); eauto|eauto]. }
      destruct (G _ Fa) as (i & I & Ei). apply in_seq in I. exists i. split; [lia|exact Ei]. }
  destruct D as [All|(i & Hi & No)].
  - left. eexists. split; [reflexivity|]. intros i Hi. rewrite memo_eq by lia. apply in_map_iff. eexists. split; [|apply filter_In; split; [apply Is, Hi|cbn [snd]; apply All, Hi]]. reflexivity.
  - right. destruct (each i Hi) as (s & Es & Ls). rewrite Es in No. cbn [stays] in No. apply Z.leb_gt in No.
    destruct (omaxl_ge os s) as (y & Ey & Ly).
    { unfold os. apply in_flat_map. exists i. split; [apply in_seq; lia|]. apply in_map_iff. eexists. split; [|apply Is, Hi]. cbn [snd]. rewrite Es. cbn [negative].
      destruct (Z.ltb_spec s 0); [reflexivity|lia]. }
    exists y. split; [exact Ey|]. split; [lia|]. apply (omaxl_lt os); [|exact Ey]. intros x I. unfold os in I.
    apply in_flat_map in I as (p & _ & I). apply in_map_iff in I as (e & Ee & _). unfold negative in Ee. destruct (snd e) as [z|]; [|discriminate].
    destruct (Z.ltb_spec z 0); [injection Ee as <-; assumption|discriminate].
Qed.
End Sound.
