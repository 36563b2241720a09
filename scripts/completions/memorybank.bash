# Completion of memorybank in bash; `memorybank generate completion` writes it.
_memorybank() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default ;;
            :directories) compopt -o dirnames ;;
            ?*) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(_MEMORYBANK_COMPLETE=bash command memorybank "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
}
complete -o nosort -F _memorybank memorybank
