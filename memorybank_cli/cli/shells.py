"""The completion scripts of three shells. Each asks `memorybank` itself what fits, and offers that.

The program answers on stdout with a line for each word, a tab and what it is, and with `:files` or `:directories`
where the shell shall look for itself. It is the one on PATH that is asked, never one that was named with its
directory: a directory that somebody else filled may hold a program of that name.
"""

from __future__ import annotations

from typing import Literal

Shell = Literal["bash", "zsh", "fish"]
VARIABLE = "_MEMORYBANK_COMPLETE"

_BASH = """\
# Completion of memorybank in bash; `memorybank generate completion` writes it.
_memorybank() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default ;;
            :directories) compopt -o dirnames ;;
            ?*) COMPREPLY+=("${line%%$'\\t'*}") ;;
        esac
    done < <(VARIABLE=bash command memorybank "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
}
complete -o nosort -F _memorybank memorybank
"""

_ZSH = """\
#compdef memorybank
# Completion of memorybank in zsh; `memorybank generate completion` writes it.
_memorybank() {
    local line place=
    local -a found
    for line in "${(@f)$(VARIABLE=zsh command memorybank "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
        case $line in
            :*) place=$line ;;
            ?*) found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}") ;;
        esac
    done
    (( $#found )) && _describe -V memorybank found && return
    [[ $PREFIX == --*=* ]] && compset -P '*='
    case $place in
        :files) _files ;;
        :directories) _files -/ ;;
    esac
}
if [[ $funcstack[1] == _memorybank ]]; then
    _memorybank "$@"
else
    compdef _memorybank memorybank
fi
"""

_FISH = """\
# Completion of memorybank in fish; `memorybank generate completion` writes it.
function __memorybank_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l word (commandline --current-token --cut-at-cursor)
    set -e words[1]
    set -l option (string match --regex -- '^--[^=]*=' "$word")
    set -l rest (string replace --regex -- '^--[^=]*=' '' "$word")
    for line in (VARIABLE=fish command memorybank $words "$word" 2>/dev/null)
        switch $line
            case :files
                string replace --regex -- '^' "$option" (__fish_complete_path "$rest")
            case :directories
                string replace --regex -- '^' "$option" (__fish_complete_directories "$rest")
            case '*'
                echo $line
        end
    end
end
complete --command memorybank --no-files --keep-order --arguments '(__memorybank_complete)'
"""

SCRIPTS: dict[Shell, tuple[str, str]] = {
    "bash": ("memorybank.bash", _BASH.replace("VARIABLE", VARIABLE)),
    "zsh": ("_memorybank", _ZSH.replace("VARIABLE", VARIABLE)),
    "fish": ("memorybank.fish", _FISH.replace("VARIABLE", VARIABLE)),
}
"""By shell the name of its file, under which the shell looks for it, and the script."""
