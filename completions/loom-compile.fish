complete -c loom-compile -l workflow -d 'Workflow file, relative to the current folder or the repository [default: .loom/workflow.yml]' -r -F
complete -c loom-compile -l out -d 'Write the graph to a file instead of stdout' -r -F
complete -c loom-compile -l format -d 'Form of what is printed [default: json; with --evaluate: text]' -r -f -a "json\t'The graph document'
text\t'Stages and jobs, for people'
dot\t'For Graphviz'
mermaid\t'For Mermaid'"
complete -c loom-compile -l explain -d 'Say for each value of a job (or of one KEY of it) where it comes from and what it overrode' -r
complete -c loom-compile -l var -d 'With --evaluate: give a variable a value, above all that the workflow says; may be repeated' -r
complete -c loom-compile -l env-file -d 'With --evaluate: give variables the values of a file of NAME=value lines, below `--var`; may be repeated' -r -F
complete -c loom-compile -l changes-base -d 'With --evaluate: what `changes` rules compare with [default: where the default branch was left]' -r
complete -c loom-compile -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-compile -l evaluate -d 'Say what the rules of the workflow and of its jobs would decide here, and why (text or json)'
complete -c loom-compile -l events -d 'Tell everything on stdout, one JSON record a line, the graph last (for other commands)'
complete -c loom-compile -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-compile -s v -l verbose -d 'Say more about what is done'
complete -c loom-compile -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-compile -s V -l version -d 'Print version'
