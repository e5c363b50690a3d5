complete -c loom-shell -s c -l command -d 'Run this line of shell instead of a dialogue' -r
complete -c loom-shell -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-shell -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-shell -s v -l verbose -d 'Say more about what is done'
complete -c loom-shell -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-shell -s V -l version -d 'Print version'
