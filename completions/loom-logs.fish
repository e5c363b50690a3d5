# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_loom_logs_global_optspecs
    string join \n f/follow= q/quiet v/verbose color= h/help V/version
end

function __fish_loom_logs_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_loom_logs_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_loom_logs_using_subcommand
    set -l cmd (__fish_loom_logs_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c loom-logs -n "__fish_loom_logs_needs_command" -s f -l follow -d 'Show a run in progress until it ends, as `loom logs show --follow` does' -r
complete -c loom-logs -n "__fish_loom_logs_needs_command" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_needs_command" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -s V -l version -d 'Print version'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "list" -d 'List runs, newest first'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "show" -d 'Show the output of a run\'s steps, in order'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "explain" -d 'Explain what failed in a run: the step, its last lines, and what to try'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "validate" -d 'Check the documents and event streams of a run: order, coverage, numbering, pointers, schemas'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "diff" -d 'Compare two runs: outcome, duration, jobs and steps'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "export" -d 'Write a finished run in the format of another tool'
complete -c loom-logs -n "__fish_loom_logs_needs_command" -f -a "prune" -d 'Remove old runs: their logs, receipts and the links to them'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l status -d 'Only runs that stand like this' -r -f -a "success\t'It did what it should'
failure\t'It failed'
skipped\t'Rules decided against it'
cancelled\t'It was ended from outside'
running\t'It is in progress'
interrupted\t'Its process was killed'
damaged\t'Its receipt cannot be read'"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l workflow -d 'Only runs of this workflow file: its path, or the end of it' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l branch -d 'Only runs of this branch' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l since -d 'Only runs that began after this: an age such as 12h, or a time' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l older-than -d 'Only runs that began before this: an age such as 7d, or a time' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -s n -l number -d 'At most N runs; 0 is all' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -l json -d 'Print an array of JSON objects'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l job -d 'Only this job' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l step -d 'Only this step: its number in `script`, a path such as `before_script/1`, or a whole list such as `after_script`' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l attempt -d 'An earlier attempt at a job that was tried again, from 1' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l since -d 'Only output from then on: an age such as 5m, or a time' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l grep -d 'Only lines that match a regular expression' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l raw -d 'Write the exact bytes of one stream, standard output unless --stderr is given'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l stdout -d 'Only standard output'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -l stderr -d 'Only standard error; with --raw it, too, goes to stdout'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -s f -l follow -d 'Show a run in progress until it ends'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand explain" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand explain" -l json -d 'Print one JSON object of at most 2 KB'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand explain" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand explain" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand explain" -s h -l help -d 'Print help'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand validate" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand validate" -l json -d 'Print one JSON object'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand validate" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand validate" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand validate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -l threshold -d 'Smallest change of duration that counts, in percent' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -l json -d 'Print one JSON object'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -l exit-code -d 'Exit with 1 if the outcome of the run, a job or a step changed'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -l format -d 'What to write' -r -f -a "junit\t'JUnit XML: a suite for each job, a case for each step; for Jenkins, GitLab and others'
github\t'GitHub Actions: log groups and annotations, to be printed by a step of a workflow'
github-summary\t'GitHub Actions: Markdown for the file that $GITHUB_STEP_SUMMARY names'
gitlab\t'GitLab CI: a job log with collapsible sections, to be printed by a job'
html\t'One HTML file: timeline and logs, without any network'
chrome-trace\t'Trace Event Format, for Perfetto and about:tracing'
otlp-json\t'OpenTelemetry: an ExportTraceServiceRequest, for the HTTP endpoint /v1/traces'"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -s o -l output -d 'Write to a file instead of stdout' -r -F
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -l keep -d 'Keep the newest N' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -l older-than -d 'Remove only what is older, such as 12h, 7d or 2w' -r
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -l dry-run -d 'Only say what would be removed'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -s v -l verbose -d 'Say more about what is done'
complete -c loom-logs -n "__fish_loom_logs_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
