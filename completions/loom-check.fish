complete -c loom-check -l workflow -d 'Workflow file, relative to the current folder or the repository [default: .loom/workflow.yml]' -r -F
complete -c loom-check -l format -d 'Form of the diagnostics' -r -f -a "human\t'Frames of the source, on stderr'
short\t'`file:line:col: CODE /pointer: fix`, on stderr'
json\t'The list of diagnostics, on stdout'
sarif\t'A SARIF 2.1.0 log, on stdout'
github\t'Workflow commands of GitHub Actions, on stdout'"
complete -c loom-check -l deny -d 'Fail on what else is only told' -r -f -a "warnings\t'Everything that is wrong, though the workflow is valid'"
complete -c loom-check -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-check -l fix -d 'Apply the mends that are certain, then check'
complete -c loom-check -l print-schema -d 'Print the JSON Schema of workflows, for editors'
complete -c loom-check -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-check -s v -l verbose -d 'Say more about what is done'
complete -c loom-check -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-check -s V -l version -d 'Print version'
