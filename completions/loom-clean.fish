complete -c loom-clean -l workspace -d 'Remove this workspace of a snapshot, and only that, by a container: how `loom snapshot` removes what its user may not' -r -F
complete -c loom-clean -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-clean -l dry-run -d 'Only say what would be removed'
complete -c loom-clean -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-clean -s v -l verbose -d 'Say more about what is done'
complete -c loom-clean -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-clean -s V -l version -d 'Print version'
