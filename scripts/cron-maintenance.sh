#!/usr/bin/env bash
# One maintenance run, as a crontab or a container starts it. Two runs of one bank never overlap.
#
# Usage: scripts/cron-maintenance.sh daily|weekly|monthly|missed|samples [BANK]
#
#   daily weekly monthly   memorybank maintain of that name
#   missed                 what was missed while the machine was off; run it every hour
#   samples                a look of the monitor; run it every 5 minutes
#
# BANK is a directory; without it MEMORYBANK_BANK says which. Nothing is printed on a good day, so cron sends no mail.
# The exit code is the one of memorybank: 0 good, 1 something is wrong, 3 a step failed, 11 another run is under way.
#
#   MEMORYBANK           the program; default: .venv of this project, else the one in PATH
#   MEMORYBANK_JITTER    wait a random part of so many seconds first, so that many machines don't begin at once
#   MEMORYBANK_LOG       append what is printed to this file too, each line with its time
#   MEMORYBANK_TIMEOUT   end a run that takes longer, such as 8h; what it did stays done, and the next one goes on
set -euo pipefail
unset CDPATH # cd would print where it went

usage() {
  sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

program() {
  local own
  own="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/memorybank"
  if [ -n "${MEMORYBANK:-}" ]; then
    echo "$MEMORYBANK"
  elif [ -x "$own" ]; then
    echo "$own"
  elif ! command -v memorybank; then
    echo "memorybank is not in PATH; say where it is: MEMORYBANK=/path/to/memorybank" >&2
    exit 3
  fi
}

stamped() {
  local line
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line"
    # A log that takes nothing, on a full disk for one, says so on stderr and ends nothing.
    printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$line" >>"$MEMORYBANK_LOG" || true
  done
}

case ${1:-} in
  daily | weekly | monthly | missed) words=(maintain "$1" --scheduled) ;;
  samples) words=(health --record --scheduled) ;;
  *) usage ;;
esac
[ $# -le 2 ] || usage
bank=${2:-${MEMORYBANK_BANK:-}}
if [ -z "$bank" ]; then
  echo "say which bank: ${0##*/} $1 BANK, or MEMORYBANK_BANK=BANK" >&2
  exit 2
fi
memorybank=$(program)
if [ "${MEMORYBANK_JITTER:-0}" -gt 0 ]; then
  sleep $((RANDOM % (MEMORYBANK_JITTER + 1)))
fi

run=("$memorybank" "${words[@]}" --bank "$bank" --quiet)
if [ -n "${MEMORYBANK_TIMEOUT:-}" ]; then
  run=(timeout --signal=INT --kill-after=60 "$MEMORYBANK_TIMEOUT" "${run[@]}")
fi
if [ -z "${MEMORYBANK_LOG:-}" ]; then
  exec "${run[@]}"
fi
"${run[@]}" 2>&1 | stamped # pipefail: the exit code is the one of the run
