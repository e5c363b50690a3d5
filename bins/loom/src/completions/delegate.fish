
# `loom NAME ...` completes as `loom-NAME ...` does; NAME is whatever `loom --list` knows.
function __fish_loom_names
    loom --list 2>/dev/null | string replace -r ' +' \t
end

function __fish_loom_delegate
    set -l words (commandline -opc)
    set -e words[1]
    argparse -s (__fish_loom_global_optspecs) -- $words 2>/dev/null
    or return
    set -l name $argv[1]
    set -e argv[1]
    complete -C "loom-$name "(string join ' ' -- (string escape -- $argv) (commandline -ct))
end

function __fish_loom_has_foreign_command
    not __fish_loom_needs_command >/dev/null
    and not __fish_loom_using_subcommand help version
end

complete -c loom -n __fish_loom_needs_command -f -a "(__fish_loom_names)"
complete -c loom -n "__fish_loom_using_subcommand help" -f -a "(__fish_loom_names)"
complete -c loom -n __fish_loom_has_foreign_command -f -a "(__fish_loom_delegate)"
