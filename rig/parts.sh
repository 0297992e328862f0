# Parts: each is built once per key, in lanes that run at the same time; one line shows the progress.

# part NAME KEY COMMAND...: runs COMMAND, with its output in a log, unless it succeeded before with the same KEY.
part() {
  local name=$1 key=$2 stamp=$home/done/$1 log=$home/log/$1.log code start=$EPOCHSECONDS; shift 2
  if [[ ! -f $stamp || $(<"$stamp") != "$key" ]]; then
    rm -f "$stamp"
    echo "$start" >"$state/$name.started"
    announce "$name"
    # Not `"$@" || ...`: there, bash ignores failures inside the function.
    set +e; (set -e; "$@") >"$log" 2>&1 </dev/null; code=$?; set -e
    if (( code )); then
      printf '%s\n' "$name" >"$state/failed"
      exit 1
    fi
    printf %s "$key" >"$stamp"
    say "$name ready in $((EPOCHSECONDS - start)) s"
  fi
  touch "$state/$name.ready"
}

# need PART...: waits until other lanes have them
need() {
  local name
  for name; do
    until [[ -e $state/$name.ready ]]; do sleep 0.1; done
  done
}

# in_lanes FUNCTION...: runs them side by side, to their end or to the first failure
in_lanes() {
  local lane lanes=() code=0
  rm -rf "$state"; mkdir -p "$state"
  plan "$@" >"$state/plan"
  grep -qv '^beside' "$state/plan" || beside=
  # Each lane has its own process group, so that an interrupt also ends its compilers.
  set -m
  for lane; do "$lane" 9>&- & lanes+=($!); done
  set +m
  trap 'end_lanes "${lanes[@]}"; erase; say "interrupted: run the same command again to continue"; exit 130' INT TERM
  watch_lanes "${lanes[@]}" || code=1
  trap - INT TERM
  erase
  (( code == 0 )) && return
  end_lanes "${lanes[@]}"
  if [[ -f $state/failed ]]; then
    local name; name=$(<"$state/failed")
    say "failed: $name. The end of $home/log/$name.log:"
    tail -20 "$home/log/$name.log" >&2
  fi
  exit 1
}

# end_lanes PID...: ends these lanes with everything that they have started, compilers too
end_lanes() {
  local lane tries=50
  for lane; do kill -TERM -- "-$lane" 2>/dev/null || true; done
  wait "$@" 2>/dev/null || true
  for lane; do
    while kill -0 -- "-$lane" 2>/dev/null && (( tries-- > 0 )); do sleep 0.1; done
    kill -KILL -- "-$lane" 2>/dev/null || true
  done
}

watch_lanes() {
  local began=$EPOCHSECONDS told=$EPOCHSECONDS lane running
  while :; do
    running=
    for lane; do
      if kill -0 "$lane" 2>/dev/null; then running=1; else wait "$lane" || return 1; fi
    done
    [[ $running ]] || return 0
    if [[ $line_moves ]]; then draw "$(progress "$began")"
    elif (( EPOCHSECONDS - told >= 60 )); then told=$EPOCHSECONDS; say "$(progress "$began")"; fi
    sleep 0.2
  done
}

# --- progress

[[ -t 2 && ! ${CI:-} ]] && line_moves=1 || line_moves=

say() { erase; printf '%srig%s %s\n' "${line_moves:+$'\e[2m'}" "${line_moves:+$'\e[0m'}" "$*" >&2; }
erase() { [[ ! $line_moves ]] || printf '\r\e[K' >&2; }
draw() { printf '\r\e[K\e[2mrig\e[0m %.*s' "$(($(tput cols 2>/dev/null || echo 100) - 5))" "$1" >&2; }

# announce PART: without a progress line, reports long parts when they start
announce() {
  [[ $line_moves ]] && return
  local seconds what
  IFS=$'\t' read -r _ _ seconds what < <(grep -P "^[^\t]+\t$1\t" "$state/plan") || return 0
  (( seconds < 60 )) || say "building: $what (usually $(minutes "$seconds"))"
}

minutes() { (( $1 < 90 )) && echo "$1 s" || echo "$((($1 + 30) / 60)) min"; }

# plan LANE...: the parts of these lanes that were never built. A part whose key has changed is not among them
plan() {
  local lane name seconds what
  while IFS=$'\t' read -r lane name seconds what; do
    [[ " $* " == *" ${lane}_lane "* ]] || continue
    if [[ $name == beside ]]; then what=$beside; elif [[ -f $home/done/$name ]]; then continue; fi
    printf '%s\t%s\t%s\t%s\n' "$lane" "$name" "$seconds" "$what"
  done <"$here/parts.tsv"
}

# progress BEGAN: how many parts are ready, what is being built, and about how long the rest will take. The usual
# durations are scaled by how fast this machine has been so far.
progress() {
  local compiled packages
  compiled=$(grep -cv '^go:' "$home/compiled" 2>/dev/null || true)
  packages=$(cat "$home/packages" 2>/dev/null || echo 4000)
  awk -F'\t' -v state="$state" -v now="$EPOCHSECONDS" -v began="$1" -v compiled="${compiled:-0}" -v packages="$packages" '
    function there(file) { if ((getline _ < file) < 0) return 0; close(file); return 1 }
    {
      lane = $1; part = $2; usual = $3; all++; total[lane] += usual
      if (there(state "/" part ".ready")) { ready++; next }
      rest = usual
      if ((getline started < (state "/" part ".started")) > 0) {
        close(state "/" part ".started")
        if (part == "programs") { rest = usual * (1 - compiled / packages); $4 = $4 " (" compiled " of " packages " packages)" }
        else rest = usual - (now - started)
        if (rest < usual / 20) rest = usual / 20
        doing = doing (doing ? ", " : "") $4
      }
      left[lane] += rest
    }
    END {
      for (lane in left) if (lane != "end" && left[lane] > most) most = left[lane]
      for (lane in total) if (lane != "end" && total[lane] > whole) whole = total[lane]
      most += left["end"]; whole += total["end"]
      if (now - began > 30 && whole - most > 10) most *= (now - began) / (whole - most)
      printf "%d of %d parts, about %s left: %s", ready, all, most < 90 ? int(most) + 1 " s" : int(most / 60 + 0.5) " min", doing
    }' "$state/plan"
}
