# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_loom_snapshot_global_optspecs
    string join \n q/quiet v/verbose color= h/help V/version
end

function __fish_loom_snapshot_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_loom_snapshot_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_loom_snapshot_using_subcommand
    set -l cmd (__fish_loom_snapshot_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -s V -l version -d 'Print version'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "create" -d 'Make a snapshot of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "facts" -d 'Print branch, tag and commit of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "list" -d 'List the snapshots of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "show" -d 'Show one snapshot'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "diff" -d 'Show what changed in a snapshot since it was made, and how it differs from the repository now'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "apply" -d 'Bring what changed in a snapshot back into the repository'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "prune" -d 'Remove old snapshots, and what killed commands left unfinished'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "rm" -d 'Remove snapshots'
complete -c loom-snapshot -n "__fish_loom_snapshot_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l dest -d 'Make it here instead of in the temp folder; must not exist yet, or be empty' -r -F
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l run-id -d 'The run it is made for: names the folder and links the run\'s logs and receipt' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l include-ignored -d 'Also copy ignored files whose path matches; may be repeated' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l at -d 'Copy this commit as git would check it out, instead of the work tree' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l changes-base -d 'Find the paths that differ from this commit instead' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l json -d 'Print the snapshot\'s record instead of its path'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l events -d 'Print facts, progress and the record as lines of JSON'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l no-untracked -d 'Leave out files that git does not track'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -l changed -d 'Also find the paths that differ from where the default branch was left'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -l changes-base -d 'Find the paths that differ from this commit instead' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -l json -d 'Print JSON'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -l files -d 'Also list the files that a snapshot would hold'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -l changed -d 'Also find the paths that differ from where the default branch was left'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand facts" -s h -l help -d 'Print help'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand list" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand list" -l json -d 'Print one JSON object a snapshot'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand list" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand list" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand list" -s h -l help -d 'Print help'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand show" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand show" -l json -d 'Print its record'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand show" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand show" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand show" -s h -l help -d 'Print help'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l repository -d 'Compare with the repository as it is now'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l include-ignored -d 'Also files that git ignores'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -s p -l patch -d 'Print a patch'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l stat -d 'Print lines changed in each file'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l name-only -d 'Print paths alone'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l name-status -d 'Print letters and paths'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l json -d 'Print both comparisons as a JSON document'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -s z -d 'End paths with NUL, and print them as they are'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -l exit-code -d 'Exit with 1 if there is a difference'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -l include-ignored -d 'Also files that git ignores'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -l dry-run -d 'List what would be written, and write nothing'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -l check -d 'Only find out whether it can be done: exit 0 or 1'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -l patch -d 'Print a patch for the repository as it is now, for `git apply`, and write nothing'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l keep -d 'Keep the newest N' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l older-than -d 'Remove only what is older, such as 12h, 7d or 2w' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l max-size -d 'Remove the oldest until all together take no more than SIZE on disk, such as 500M or 10G' -r
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l all -d 'Remove all'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -l dry-run -d 'Only say what would be removed'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand rm" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand rm" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand rm" -s v -l verbose -d 'Say more about what is done'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand rm" -s h -l help -d 'Print help'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "create" -d 'Make a snapshot of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "facts" -d 'Print branch, tag and commit of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "list" -d 'List the snapshots of the repository around the current folder'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "show" -d 'Show one snapshot'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "diff" -d 'Show what changed in a snapshot since it was made, and how it differs from the repository now'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "apply" -d 'Bring what changed in a snapshot back into the repository'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "prune" -d 'Remove old snapshots, and what killed commands left unfinished'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "rm" -d 'Remove snapshots'
complete -c loom-snapshot -n "__fish_loom_snapshot_using_subcommand help; and not __fish_seen_subcommand_from create facts list show diff apply prune rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
