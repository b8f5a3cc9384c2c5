(* Reads canonical integers, runs the extracted check, prints the verdict.

   usage: certify-verified MODEL CERTIFICATE     the integers come from formal/dump.py, which parses both files
          certify-verified -                     for tests: the integers come from standard input, bound to no file *)
module Big = Z
open Checked

let fail code line = print_endline line; exit code

let read_all ic =
  let buffer = Buffer.create 65536 in
  (try while true do Buffer.add_channel buffer ic 1 done with End_of_file -> ());
  Buffer.contents buffer

(* The text of dump.py, or its refusal. *)
let text_of model certificate =
  let dump = Filename.concat (Filename.concat (Filename.dirname Sys.executable_name) "..") "dump.py" in
  let ic = Unix.open_process_args_in "python3" [| "python3"; "-S"; dump; model; certificate |] in
  let text = read_all ic in
  match Unix.close_process_in ic with
  | Unix.WEXITED 0 -> text
  | Unix.WEXITED ((10 | 20) as code) -> fail code (String.trim text)
  | _ -> exit 1

let lines_and_numbers text =
  match String.split_on_char '\n' text with
  | "certify.formal/1" :: prefix :: suffix :: rest -> (prefix, suffix, String.concat " " rest)
  | _ -> prerr_endline "not a dump"; exit 1

let run ending text =
  let prefix, suffix, numbers = lines_and_numbers text in
  let length = String.length numbers in
  let at = ref 0 in
  let word () =
    while !at < length && numbers.[!at] = ' ' do incr at done;
    let start = !at in
    while !at < length && numbers.[!at] <> ' ' do incr at done;
    if start = !at then (prerr_endline "the dump ends early"; exit 1);
    String.sub numbers start (!at - start) in
  let int () = int_of_string (word ()) in
  let big () = Big.of_string (word ()) in
  let matrix n m = let a = Array.init n (fun _ -> Array.init m (fun _ -> big ())) in fun i j -> a.(i).(j) in
  let vector n = let a = Array.init n (fun _ -> big ()) in fun i -> a.(i) in
  let list f = let n = int () in List.init n (fun _ -> f ()) in
  let k = int () in let v = int () in let o = int () in let dm = int () in let dh = int () in
  let s = big () in let p = big () in let ss = big () in let vs = big () in
  let we = matrix v dm in let wpos = matrix (k + 1) dm in
  let wq = matrix dm dh in let wk = matrix dm dh in let wv = matrix dm dh in
  let wo = matrix dh dm in let wu = matrix dm o in
  let bq = vector dh in let bk = vector dh in let bv = vector dh in let bo = vector dm in let bu = vector o in
  let model = { zk = k; zV = v; zO = o; zdm = dm; zdh = dh; zS = s; zWE = we; zWpos = wpos; zWQ = wq; zWK = wk;
                zWV = wv; zWO = wo; zWU = wu; zbQ = bq; zbK = bk; zbV = bv; zbO = bo; zbU = bu } in
  let scope = matrix (k + 1) v in
  let claimed_lower = big () in let claimed_upper = big () in
  let share () = let bins = big () in (bins, list int) in
  let method_ () = match word () with
    | "count" -> let upper = list share in let lower = list share in Count (upper, lower)
    | "copies" -> Copies (list (fun () -> let copies = int () in (copies, list int)))
    | "skip" -> Skip | "extreme" -> Extreme | "split" -> Split | "screen" -> Screen
    | "enumerate" -> Enumerate | "brute-force" -> Brute
    | name -> fail 20 ("s DECLINED SPEC-7.5: the method " ^ name ^ " is not verified yet") in
  (* layouts are lengths of blocks: consecutive tokens *)
  let layout () =
    let next = ref 0 in
    list (fun () -> let n = int () in let first = !next in next := first + n; List.init n (fun i -> first + i)) in
  let rec cell () =
    let name = method_ () in let qs = list int in let blocks = layout () in
    let a = big () in let b = big () in let children = list cell in
    { c_qs = qs; c_method = name; c_layout = blocks; c_claim = (a, b); c_children = children } in
  let roots = list (fun () -> let m = int () in let a = big () in let b = big () in { r_max = m; r_mu = (a, b); r_cell = cell () }) in
  let certificate = { p_precision = p; p_score_scale = ss; p_value_scale = vs; p_roots = roots; p_lower = claimed_lower; p_upper = claimed_upper } in
  match check model scope certificate with
  | None -> fail 10 "s REJECTED SPEC-7: the verified checker does not derive what the certificate claims"
  | Some ((lower, upper), margin) ->
    let decimals = Big.shift_right (Big.mul margin (Big.pow (Big.of_int 10) 10)) 20 in
    let unit = Big.pow (Big.of_int 10) 10 in
    Printf.printf "s VERIFIED %s correct_lower=%s correct_upper=%s margin_lower=%s.%010d %s checker=verified%s\n"
      prefix (Big.to_string lower) (Big.to_string upper) (Big.to_string (Big.div decimals unit)) (Big.to_int (Big.rem decimals unit)) suffix ending

let () =
  try
    match Sys.argv with
    | [| _; "-" |] -> run " files=unread" (read_all stdin)
    | [| _; model; certificate |] -> run "" (text_of model certificate)
    | _ -> prerr_endline "usage: certify-verified MODEL CERTIFICATE"; exit 2
  with
  | Stack_overflow | Out_of_memory -> fail 20 "s DECLINED SPEC-3.5: memory or recursion exhausted"
  | Failure why | Invalid_argument why -> prerr_endline why; exit 1
