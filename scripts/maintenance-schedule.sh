#!/usr/bin/env bash
# The schedule of a bank: shown, put into systemd or the crontab, taken away; or printed for a container's /etc/cron.d.
#
# Usage: scripts/maintenance-schedule.sh show|install|remove [BANK [OPTION]...]
#        scripts/maintenance-schedule.sh print BANK [USER]
#
# show, install and remove are memorybank schedule of that name; OPTION is one of theirs, such as --cron or --dry-run.
# print writes lines that call cron-maintenance.sh: daily at 06:00, weekly on Sundays at 02:00, monthly on the 1st at
# 01:00, samples every 5 minutes, and every hour what was missed. With USER they have the field that /etc/cron.d needs.
#
#   MEMORYBANK   the program; default: .venv of this project, else the one in PATH
set -euo pipefail
unset CDPATH # cd would print where it went
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

print_lines() { # print_lines BANK USER
  local bank path user job
  bank=$(cd -- "$1" && pwd)
  for path in "$bank" "$here"; do
    case $path in
      *[!A-Za-z0-9/._@+-]*)
        echo "cron cannot take the path '$path' as it is; move it, or use install" >&2
        exit 3
        ;;
    esac
  done
  user=${2:+$2 }
  while read -r minute hour day month weekday job; do
    echo "$minute $hour $day $month $weekday ${user}$here/cron-maintenance.sh $job $bank"
  done <<'TABLE'
*/5 * * * * samples
0 6 * * * daily
0 2 * * 0 weekly
0 1 1 * * monthly
17 * * * * missed
TABLE
}

program() {
  if [ -n "${MEMORYBANK:-}" ]; then
    echo "$MEMORYBANK"
  elif [ -x "$here/../.venv/bin/memorybank" ]; then
    echo "$here/../.venv/bin/memorybank"
  elif ! command -v memorybank; then
    echo "memorybank is not in PATH; say where it is: MEMORYBANK=/path/to/memorybank" >&2
    exit 3
  fi
}

case ${1:-} in
  show | install | remove)
    word=$1
    shift
    bank=()
    if [ $# -gt 0 ]; then
      bank=(--bank "$1")
      shift
    fi
    memorybank=$(program)
    exec "$memorybank" schedule "$word" "${bank[@]}" "$@"
    ;;
  print)
    if [ $# -lt 2 ] || [ $# -gt 3 ]; then usage; fi
    print_lines "$2" "${3:-}"
    ;;
  *) usage ;;
esac
