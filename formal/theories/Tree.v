(** SPEC-7.1, SPEC-7.2, SPEC-7.7, SPEC-7.11, SPEC-7.13: the forest of cells, each with one method, and what its leaves prove. *)
Require Import Reals Lra Lia ZArith Arith List Bool Permutation Orders Mergesort.
From Certify Require Import Sums Semantics ExpZ Paths Inputs Terms Frame Extreme Screen Enumerate Tie Leaf Polynomial Counting Copies.
Import ListNotations.
Open Scope R_scope.

(** ** The program *)
Inductive method := Skip | Extreme | Split | Screen | Enumerate | Brute
  | Count (upper lower : list share) | Copies (groups : list group).
Inductive cell := Cell {
  c_qs : list nat; c_method : method; c_layout : list (list nat);
  c_claim : Z * Z;                 (* extreme: a margin, mantissa and exponent; else failures, lower and upper *)
  c_children : list cell }.

Module NatLe <: TotalLeBool.
  Definition t := nat.
  Definition leb := Nat.leb.
  Lemma leb_total : forall x y, leb x y = true \/ leb y x = true.
  Proof. intros. unfold leb. destruct (Nat.leb_spec x y), (Nat.leb_spec y x); auto; lia. Qed.
End NatLe.
Module NatSort := Sort NatLe.

Fixpoint same (a b : list nat) : bool :=
  match a, b with [], [] => true | x :: a', y :: b' => Nat.eqb x y && same a' b' | _, _ => false end.
Lemma same_spec a : forall b, same a b = true -> a = b.
Proof. induction a as [|x a IH]; intros [|y b]; simpl; try discriminate; [reflexivity|]. intros H. apply andb_prop in H as [A B]. apply Nat.eqb_eq in A. f_equal; auto. Qed.
Fixpoint ascending (a : list nat) : bool :=
  match a with x :: ((y :: _) as r) => (x <? y)%nat && ascending r | _ => true end.
Definition fitting (m : nat) (qs : list nat) : bool :=
  (ascending qs && (same qs [m] || forallb (fun q => q <? m)%nat qs))%bool.
Definition partition (parts : list (list nat)) (whole : list nat) : bool := same (NatSort.sort (concat parts)) whole.
Definition ceiling (m e : Z) : Z := if (0 <=? e)%Z then shl m e else shift_up m (- e).

Section Program.
Variables (E : env) (W : nat -> nat -> Z).
Notation k := (ek E).

Record outcome := Outcome { o_lower : Z; o_upper : Z; o_size : Z; o_margin : option Z }.
Definition outcome_of (lower upper size : Z) (g : option Z) : outcome :=
  Outcome lower upper size (if (upper <? size)%Z then g else None).

Definition decided (m : nat) (zmu : Z) (c : cell) (F : frame) (size : Z) (found : list left * option Z) : option outcome :=
  match fst found with
  | [] => Some (outcome_of 0 0 size (snd found))
  | _ => match c_method c with
         | Enumerate | Brute =>
             let r := enumerated E W F (exact_cell (c_qs c) (c_layout c)) zmu (fst found) in
             Some (outcome_of (fst r) (snd r) size (omin (snd found) (Some (margin_of (evs E) zmu))))
         | Count us ls =>
             match shares_upper E W F (fst found) us, shares_lower E W F (exact_cell (c_qs c) (c_layout c)) (fst found) ls with
             | Some u, Some l => Some (outcome_of l (Z.min u size) size (omin (snd found) (Some (margin_of (evs E) zmu))))
             | _, _ => None
             end
         | Copies gs =>
             match copies_right E W F (fst found) gs with
             | Some r => Some (outcome_of 0 (size - r) size (omin (snd found) (Some (margin_of (evs E) zmu))))
             | None => None
             end
         | _ => None
         end
  end.

Definition claimed (c : cell) (o : outcome) : bool :=
  match c_method c with
  | Skip => true
  | Extreme => (ceiling (fst (c_claim c)) (snd (c_claim c) + 20) <=? match o_margin o with Some g => g | None => 0 end)%Z
  | _ => ((fst (c_claim c) <=? o_lower o) && (o_upper o <=? snd (c_claim c)))%Z
  end.

Definition leaf (m : nat) (zmu : Z) (c : cell) (answers : list answer) (g : option Z) : option outcome :=
  let qs := c_qs c in let size := cellsize W k m qs in
  let o := match c_method c with
    | Skip => Some (outcome_of 0 size size None)
    | Extreme | Enumerate | Brute | Count _ _ | Copies _ =>
      if ((match answers with [] => true | _ => false end) || (size =? 0)%Z)%bool then Some (outcome_of 0 0 size g) else
      let F := frame_of E m qs (c_layout c) in
      let found := match c_method c with
        | Brute => (untested E F zmu answers, g)
        | _ => let t := extreme_test E F zmu answers in (fst t, omin g (snd t)) end in
      decided m zmu c F size found
    | _ => None
    end in
  match o with Some o => if claimed c o then Some o else None | None => None end.

(** What a cell with children hands down. *)
Definition handed (m : nat) (zmu : Z) (c : cell) (answers : list answer) (g : option Z) : list answer * option Z :=
  match c_method c with
  | Screen => let r := screened E m (c_layout c) zmu answers in
              (fst (fst r), omin g (match snd (fst r) with Some s => Some (margin_of (evs E) (zmu + - s / snd r)) | None => None end))
  | _ => match answers with [] => (answers, g) | _ =>
           let t := extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers in (map fst (fst t), omin g (snd t)) end
  end.

Definition sensible (shares : list share) : bool := forallb (fun s => 0 <=? fst s)%Z shares.
Definition valid (m : nat) (c : cell) : bool :=
  (same (concat (c_layout c)) (seq 0 m) &&
   (match c_method c with Screen => same (c_qs c) (seq 0 (S m)) | _ => fitting m (c_qs c) end) &&
   (match c_method c with Brute => Nat.eqb (length (c_qs c)) 1 | Count us ls => sensible us && sensible ls | _ => true end))%bool.

Definition add (a b : option (Z * Z * option Z)) : option (Z * Z * option Z) :=
  match a, b with
  | Some (l, r, g), Some (l', r', g') => Some ((l + l')%Z, (r + r')%Z, omin g g')
  | _, _ => None
  end.

(** Per cell: inputs that are wrong at least, inputs that are right at least, and their margin. *)
Fixpoint visit (m : nat) (zmu : Z) (c : cell) (answers : list answer) (g : option Z) {struct c} : option (Z * Z * option Z) :=
  if valid m c then
    match c_method c with
    | Screen | Split =>
        let h := handed m zmu c answers g in
        if partition (map c_qs (c_children c)) (c_qs c) then
          (fix all (cs : list cell) := match cs with
            | [] => Some (0, 0, None)%Z
            | x :: r => match visit m zmu x (fst h) (snd h) with None => None | s => add s (all r) end
            end) (c_children c)
        else None
    | _ => match leaf m zmu c answers g with
           | Some o => Some (o_lower o, (o_size o - o_upper o)%Z, o_margin o)
           | None => None
           end
    end
  else None.
End Program.

(** ** What it proves *)
Lemma cell_ind' (P : cell -> Prop) : (forall c, (forall x, In x (c_children c) -> P x) -> P c) -> forall c, P c.
Proof.
  intros H. fix IH 1. intros c. apply H. destruct c as [q m l cl cs]. cbn [c_children].
  revert cs. fix IHl 1. intros cs. destruct cs as [|x r]; intros y I; [destruct I|]. destruct I as [<-|I]; [apply IH|exact (IHl r y I)].
Qed.

Lemma ascending_nodup a : ascending a = true -> NoDup a.
Proof.
  assert (G : forall a x, ascending (x :: a) = true -> forall y, In y a -> (x < y)%nat).
  { induction a0 as [|z a0 IH]; intros x H y I; [destruct I|]. cbn [ascending] in H. apply andb_prop in H as [A B]. apply Nat.ltb_lt in A.
    destruct I as [<-|I]; [exact A|]. specialize (IH z B y I). lia. }
  induction a as [|x a IH]; intros H; [constructor|]. constructor.
  - intros I. specialize (G a x H x I). lia.
  - apply IH. destruct a; [reflexivity|]. cbn [ascending] in H. apply andb_prop in H. apply H.
Qed.
Lemma fitting_fits m qs : fitting m qs = true -> fits m qs.
Proof.
  intros H. unfold fitting in H. apply andb_prop in H as [A B]. split; [apply ascending_nodup, A|]. apply orb_prop in B as [B|B]; [left; apply same_spec, B|right].
  rewrite forallb_forall in B. intros q I. apply Nat.ltb_lt, B, I.
Qed.
(** SPEC-7.1 *)
Lemma partition_perm parts whole : partition parts whole = true -> Permutation (concat parts) whole.
Proof. intros H. apply same_spec in H. rewrite <- H. apply NatSort.Permuted_sort. Qed.

Section Sound.
Variables (N : net) (E : env) (W : nat -> nat -> Z).
Hypothesis HE : holds N E.
Hypothesis HW : forall i t, (0 <= W i t)%Z.
Notation k := (ek E). Notation V := (eV E). Notation O := (eO E).
Variables (m : nat) (zmu : Z).
Hypothesis Hm : (m < V)%nat.
Hypothesis Hmu : (0 <= zmu)%Z.

Definition proves (qs : list nat) (lower right : Z) (g : option Z) : Prop :=
  (lower <= cellmass W V k m qs (wrong N O m))%Z /\ (right <= cellmass W V k m qs (good N O m g))%Z.

Lemma good_mono g g' qs : (forall x, at_least g x -> at_least g' x) -> (cellmass W V k m qs (good N O m g) <= cellmass W V k m qs (good N O m g'))%Z.
Proof.
  intros H. apply cellmass_le; [exact HW|]. intros q ts _ _ _ G. apply good_spec. intros j Hj Hjm. destruct (proj1 (good_spec N O m g ts) G j Hj Hjm). auto.
Qed.

(** An upper bound on the inputs that are not good proves the others. *)
Lemma outcome_proves qs lower upper g : fits m qs ->
  (lower <= cellmass W V k m qs (wrong N O m))%Z ->
  (cellmass W V k m qs (fun ts => negb (good N O m g ts)) <= upper)%Z ->
  let o := outcome_of lower upper (cellsize W k m qs) g in
  proves qs (o_lower o) (o_size o - o_upper o) (o_margin o).
Proof.
  intros Hf Hl Hu. cbn [outcome_of o_lower o_size o_upper o_margin]. split; [exact Hl|].
  destruct (Z.ltb_spec upper (cellsize W k m qs)) as [L|L].
  - rewrite (cellsize_sound W V k m qs Hm Hf). rewrite (cellmass_split W V k m qs (fun _ => true) (good N O m g)). cbn [andb]. change (fun ts => good N O m g ts) with (good N O m g). lia.
  - pose proof (cellmass_nonneg W V k HW m qs (good N O m None)). lia.
Qed.

Lemma cellmass_zero qs P : fits m qs -> cellsize W k m qs = 0%Z -> cellmass W V k m qs P = 0%Z.
Proof.
  intros Hf H0. rewrite (cellsize_sound W V k m qs Hm Hf) in H0.
  pose proof (cellmass_le W V k HW m qs P (fun _ => true) ltac:(auto)). pose proof (cellmass_nonneg W V k HW m qs P). lia.
Qed.

Lemma all_beaten qs g : (forall ts, input E m qs ts -> forall j, (j < O)%nat -> j <> m -> beaten N E m zmu g j ts) ->
  cellmass W V k m qs (fun ts => negb (good N O m g ts)) = 0%Z.
Proof.
  intros H. apply lsum_zero. intros q I. apply massi_false. intros ts Hok. destruct (in_cell m [q] ts) eqn:C; [|reflexivity]. cbn [andb].
  apply negb_false_iff. apply good_spec. intros j Hj Hjm. apply (beaten_good N E HE m zmu Hmu). apply H; [|exact Hj|exact Hjm].
  apply (in_cell_spec k m [q] ts (proj1 Hok)) in C as (A & B & D). destruct D as [D|[]]; subst q. constructor; [exact Hok|exact A|exact B|exact I].
Qed.

(** SPEC-7.11, SPEC-7.13 *)
Lemma leaf_sound c answers g o : valid m c = true -> shown N E m (c_qs c) zmu answers g -> leaf E W m zmu c answers g = Some o ->
  proves (c_qs c) (o_lower o) (o_size o - o_upper o) (o_margin o).
Proof.
  intros Hv Hs Ho. unfold valid in Hv. apply andb_prop in Hv as [Hv Hx]. apply andb_prop in Hv as [Hlay Hfit]. apply same_spec in Hlay.
  unfold leaf in Ho. set (o' := match c_method c with Skip => _ | _ => _ end) in Ho. destruct o' as [x|] eqn:Eo; [|discriminate].
  destruct (claimed c x); [|discriminate]. injection Ho as ->. unfold o' in Eo. clear o'.
  assert (Main : forall F0 found, F0 = frame_of E m (c_qs c) (c_layout c) -> fits m (c_qs c) -> remains N E m (c_qs c) (c_layout c) zmu (fst found) (snd found) ->
    decided E W m zmu c F0 (cellsize W k m (c_qs c)) found = Some o -> proves (c_qs c) (o_lower o) (o_size o - o_upper o) (o_margin o)).
  { intros F0 found -> Hf HR Hd. unfold decided in Hd. destruct (fst found) as [|l0 ls0] eqn:El.
    - injection Hd as <-. apply outcome_proves; [exact Hf|apply cellmass_nonneg, HW|]. rewrite all_beaten; [lia|].
      intros ts I j Hj Hjm. destruct (proj2 HR ts I j Hj Hjm) as [(l & [] & _)|B]. exact B.
    - rewrite <- El in *. pose proof (enumerated_sound N E W HE HW m (c_qs c) (c_layout c) zmu Hm Hf Hlay Hmu (fst found) (snd found) HR) as [A B].
      destruct (c_method c) as [| | | | | |us lws|gs] eqn:Em; try discriminate; try (injection Hd as <-; apply outcome_proves; assumption).
      2:{ destruct (copies_right _ _ _ _ _) as [r|] eqn:Er; [|discriminate]. injection Hd as <-. apply outcome_proves; [exact Hf|apply cellmass_nonneg, HW|].
          apply (copies_sound N E W HE HW m (c_qs c) (c_layout c) zmu Hm Hf Hlay Hmu (fst found) (snd found) gs r HR Er). }
      apply andb_prop in Hx as [Hx1 Hx2]. unfold sensible in Hx1, Hx2. rewrite forallb_forall in Hx1, Hx2.
      destruct (shares_upper _ _ _ _ _) as [u|] eqn:Eu; [|discriminate]. destruct (shares_lower _ _ _ _ _ _) as [w|] eqn:Ew; [|discriminate]. injection Hd as <-.
      apply outcome_proves; [exact Hf| |].
      + apply (count_lower N E W HE HW m (c_qs c) (c_layout c) zmu Hm Hf Hlay (fst found) (snd found) lws w HR); [|exact Ew].
        apply Forall_forall. intros s Is. apply Z.leb_le, Hx2, Is.
      + apply Z.min_glb.
        * apply (count_upper N E W HE HW m (c_qs c) (c_layout c) zmu Hm Hf Hlay Hmu (fst found) (snd found) us u HR); [|exact Eu].
          apply Forall_forall. intros s Is. apply Z.leb_le, Hx1, Is.
        * rewrite (cellsize_sound W V k m (c_qs c) Hm Hf). apply cellmass_le; [exact HW|auto]. }
  assert (Rest : forall found, fits m (c_qs c) -> (fits m (c_qs c) -> remains N E m (c_qs c) (c_layout c) zmu (fst found) (snd found)) ->
    (if ((match answers with [] => true | _ => false end) || (cellsize W k m (c_qs c) =? 0)%Z)%bool then Some (outcome_of 0 0 (cellsize W k m (c_qs c)) g)
     else decided E W m zmu c (frame_of E m (c_qs c) (c_layout c)) (cellsize W k m (c_qs c)) found) = Some o ->
    proves (c_qs c) (o_lower o) (o_size o - o_upper o) (o_margin o)).
  { intros found Hf HR Hd. destruct (_ || _)%bool eqn:Eb; [|exact (Main _ found eq_refl Hf (HR Hf) Hd)]. injection Hd as <-.
    apply outcome_proves; [exact Hf|apply cellmass_nonneg, HW|]. apply orb_prop in Eb as [Eb|Eb].
    - destruct answers as [|a answers']; [|discriminate]. rewrite all_beaten; [lia|]. intros ts I j Hj Hjm.
      destruct (proj2 Hs ts I j Hj Hjm) as [(al & [] & _)|B]. exact B.
    - apply Z.eqb_eq in Eb. rewrite cellmass_zero by assumption. lia. }
  destruct (c_method c) eqn:Em; try discriminate; apply fitting_fits in Hfit.
  - injection Eo as <-. apply outcome_proves; [exact Hfit|apply cellmass_nonneg, HW|].
    rewrite (cellsize_sound W V k m (c_qs c) Hm Hfit). apply cellmass_le; [exact HW|auto].
  - apply (Rest (fst (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers), omin g (snd (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers))) Hfit); [|exact Eo].
    intros Hf. apply (extreme_test_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hf Hlay answers g Hs).
  - apply (Rest (fst (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers), omin g (snd (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers))) Hfit); [|exact Eo].
    intros Hf. apply (extreme_test_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hf Hlay answers g Hs).
  - apply (Rest (untested E (frame_of E m (c_qs c) (c_layout c)) zmu answers, g) Hfit); [|exact Eo].
    intros Hf. apply (untested_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hf Hlay answers g Hs).
  - apply (Rest (fst (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers), omin g (snd (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers))) Hfit); [|exact Eo].
    intros Hf. apply (extreme_test_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hf Hlay answers g Hs).
  - apply (Rest (fst (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers), omin g (snd (extreme_test E (frame_of E m (c_qs c) (c_layout c)) zmu answers))) Hfit); [|exact Eo].
    intros Hf. apply (extreme_test_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hf Hlay answers g Hs).
Qed.

(** SPEC-7.7 *)
Lemma handed_sound c answers g : valid m c = true -> (c_method c = Screen \/ c_method c = Split) -> shown N E m (c_qs c) zmu answers g ->
  shown N E m (c_qs c) zmu (fst (handed E m zmu c answers g)) (snd (handed E m zmu c answers g)).
Proof.
  intros Hv Hmeth Hs. unfold valid in Hv. apply andb_prop in Hv as [Hv _]. apply andb_prop in Hv as [Hlay Hfit]. apply same_spec in Hlay. unfold handed.
  destruct Hmeth as [Em|Em]; rewrite Em in *.
  - cbn [fst snd]. set (r := screened E m (c_layout c) zmu answers). destruct Hs as [HO Sh]. split.
    + intros a Ia. unfold r, screened in Ia. cbv zeta in Ia. cbn [fst] in Ia. apply in_flat_map in Ia as (o & Io & Ia). apply in_map_iff in Io as (b & <- & Ib).
      unfold screen_one in Ia. cbv zeta in Ia. destruct (_ <? 0)%Z; [destruct Ia|]. destruct Ia as [<-|[]]. cbn [fst]. apply HO, Ib.
    + intros ts I j Hj Hjm. destruct (Sh ts I j Hj Hjm) as [(al & Ia & Cv)|[A B]]; [|right; split; [exact A|apply at_least_l, B]].
      destruct (screened_sound N E HE m (c_layout c) zmu Hm Hlay ts (i_le E m _ ts I) (i_max E m _ ts I) answers (j, al) Ia Hj Cv) as [(al' & Ia' & Cv')|(y & Ey & A & B)].
      * left. exists al'. split; [exact Ia'|exact Cv'].
      * right. split; [exact A|]. apply at_least_r. fold r in Ey, B |- *. rewrite Ey. simpl. apply (margin_of_sound (evs E)); [apply (h_vs N E HE)|exact B].
  - apply fitting_fits in Hfit. destruct answers as [|a0 answers0] eqn:Ea; [exact Hs|]. rewrite <- Ea in *. clear Ea. cbn [fst snd].
    apply remains_shown with (layout := c_layout c). apply (extreme_test_sound N E HE m (c_qs c) (c_layout c) zmu Hm Hfit Hlay answers g Hs).
Qed.

Lemma shown_child qs qs' answers g : (forall q, In q qs' -> In q qs) -> shown N E m qs zmu answers g -> shown N E m qs' zmu answers g.
Proof. intros H [HO Sh]. split; [exact HO|]. intros ts [A B C D]. apply Sh. constructor; auto. Qed.

(** SPEC-7.7 *)
Theorem visit_sound c : forall answers g lower right mg, shown N E m (c_qs c) zmu answers g -> visit E W m zmu c answers g = Some (lower, right, mg) ->
  proves (c_qs c) lower right mg.
Proof.
  induction c as [c IH] using cell_ind'. intros answers g lower right mg Hs Hv.
  assert (Hu : visit E W m zmu c answers g = if valid m c then
    match c_method c with
    | Screen | Split =>
        let h := handed E m zmu c answers g in
        if partition (map c_qs (c_children c)) (c_qs c) then
          (fix all (cs : list cell) := match cs with
            | [] => Some (0, 0, None)%Z
            | x :: r => match visit E W m zmu x (fst h) (snd h) with None => None | s => add s (all r) end
            end) (c_children c)
        else None
    | _ => match leaf E W m zmu c answers g with
           | Some o => Some (o_lower o, (o_size o - o_upper o)%Z, o_margin o)
           | None => None
           end
    end
  else None) by (destruct c; reflexivity).
  rewrite Hu in Hv. clear Hu. destruct (valid m c) eqn:Hval; [|discriminate].
  assert (Leaf : match leaf E W m zmu c answers g with Some o => Some (o_lower o, (o_size o - o_upper o)%Z, o_margin o) | None => None end = Some (lower, right, mg) -> proves (c_qs c) lower right mg).
  { intros H. destruct (leaf E W m zmu c answers g) as [o|] eqn:El; [|discriminate]. injection H as <- <- <-. exact (leaf_sound c answers g o Hval Hs El). }
  assert (Node : c_method c = Screen \/ c_method c = Split -> (let h := handed E m zmu c answers g in
        if partition (map c_qs (c_children c)) (c_qs c) then
          (fix all (cs : list cell) := match cs with
            | [] => Some (0, 0, None)%Z
            | x :: r => match visit E W m zmu x (fst h) (snd h) with None => None | s => add s (all r) end
            end) (c_children c)
        else None) = Some (lower, right, mg) -> proves (c_qs c) lower right mg).
  { intros Hmeth H. cbv zeta in H. pose proof (handed_sound c answers g Hval Hmeth Hs) as Hh. set (h := handed E m zmu c answers g) in *.
    destruct (partition _ _) eqn:Hp; [|discriminate]. apply partition_perm in Hp.
    assert (Sub : forall x, In x (c_children c) -> shown N E m (c_qs x) zmu (fst h) (snd h)).
    { intros x Ix. apply (shown_child (c_qs c)); [|exact Hh]. intros q Iq. apply (Permutation_in _ Hp). apply in_concat. exists (c_qs x). split; [apply in_map, Ix|exact Iq]. }
    enough (G : proves (concat (map c_qs (c_children c))) lower right mg).
    { unfold proves in *. rewrite <- !(cellmass_perm W V k m _ _ _ Hp). exact G. }
    clear Hp Hs Hval Leaf Hv. clearbody h. revert lower right mg H. induction (c_children c) as [|x r IHr]; intros lower right mg H.
    - injection H as <- <- <-. split; unfold cellmass; simpl; lia.
    - destruct (visit E W m zmu x (fst h) (snd h)) as [[[l1 r1] g1]|] eqn:Ex; [|discriminate].
      match type of H with add _ ?a = _ => destruct a as [[[l2 r2] g2]|] eqn:Er; [|discriminate] end. cbn [add] in H. injection H as <- <- <-.
      destruct (IH x (or_introl eq_refl) _ _ _ _ _ (Sub x (or_introl eq_refl)) Ex) as [A1 B1].
      destruct (IHr (fun y Iy => IH y (or_intror Iy)) (fun y Iy => Sub y (or_intror Iy)) _ _ _ eq_refl) as [A2 B2].
      cbn [map concat]. unfold proves. rewrite !cellmass_app. split; [lia|].
      pose proof (good_mono g1 (omin g1 g2) (c_qs x) (fun y => at_least_l g1 g2 y)). pose proof (good_mono g2 (omin g1 g2) (concat (map c_qs r)) (fun y => at_least_r g1 g2 y)). lia. }
  destruct (c_method c); try (apply Leaf; exact Hv); apply Node; auto.
Qed.
End Sound.
