# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_loom_artifacts_global_optspecs
    string join \n q/quiet v/verbose color= h/help V/version
end

function __fish_loom_artifacts_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_loom_artifacts_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_loom_artifacts_using_subcommand
    set -l cmd (__fish_loom_artifacts_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -s V -l version -d 'Print version'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -f -a "list" -d 'List jobs that have artifacts, or the files of one job'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -f -a "get" -d 'Put artifacts of a job into a folder'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -f -a "verify" -d 'Check every artifact\'s path, size, mode and checksum'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -f -a "diff" -d 'Compare the artifacts of two runs'
complete -c loom-artifacts -n "__fish_loom_artifacts_needs_command" -f -a "prune" -d 'Remove copies and archives of artifacts'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand list" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand list" -l json -d 'Print an array of JSON objects'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand list" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand list" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -s o -l output -d 'The folder; made where it is missing' -r -F
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -s f -l force -d 'Replace files that exist'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand verify" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand verify" -l json -d 'Print a JSON object'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand verify" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand verify" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -l exit-code -d 'Exit with 1 where there is a difference'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -l json -d 'Print a JSON object'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -l keep -d 'Keep those of the newest N runs that have some' -r
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -l older-than -d 'Remove only what is older, such as 12h, 7d or 2w' -r
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -l expired -d 'Remove those whose `expire_in` is over'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -l dry-run -d 'Only say what would be removed'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -s v -l verbose -d 'Say more about what is done'
complete -c loom-artifacts -n "__fish_loom_artifacts_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
