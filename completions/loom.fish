# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_loom_global_optspecs
    string join \n C= list q/quiet v/verbose color= h/help V/version
end

function __fish_loom_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_loom_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_loom_using_subcommand
    set -l cmd (__fish_loom_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c loom -n "__fish_loom_needs_command" -s C -d 'Run as if started in DIR' -r -f -a "(__fish_complete_directories)"
complete -c loom -n "__fish_loom_needs_command" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom -n "__fish_loom_needs_command" -l list -d 'List all commands; with --verbose also where they are'
complete -c loom -n "__fish_loom_needs_command" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom -n "__fish_loom_needs_command" -s v -l verbose -d 'Say more about what is done'
complete -c loom -n "__fish_loom_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom -n "__fish_loom_needs_command" -s V -l version -d 'Print version'
complete -c loom -n "__fish_loom_needs_command" -f -a "help" -d 'Shows the manual of a command'
complete -c loom -n "__fish_loom_needs_command" -f -a "version" -d 'Shows version, commit and contract versions'
complete -c loom -n "__fish_loom_using_subcommand help" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom -n "__fish_loom_using_subcommand help" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom -n "__fish_loom_using_subcommand help" -s v -l verbose -d 'Say more about what is done'
complete -c loom -n "__fish_loom_using_subcommand help" -s h -l help -d 'Print help'
complete -c loom -n "__fish_loom_using_subcommand version" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom -n "__fish_loom_using_subcommand version" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom -n "__fish_loom_using_subcommand version" -s v -l verbose -d 'Say more about what is done'
complete -c loom -n "__fish_loom_using_subcommand version" -s h -l help -d 'Print help'

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
