# Completion of memorybank in fish; `memorybank generate completion` writes it.
function __memorybank_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l word (commandline --current-token --cut-at-cursor)
    set -e words[1]
    set -l option (string match --regex -- '^--[^=]*=' "$word")
    set -l rest (string replace --regex -- '^--[^=]*=' '' "$word")
    for line in (_MEMORYBANK_COMPLETE=fish command memorybank $words "$word" 2>/dev/null)
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
