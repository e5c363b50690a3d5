complete -c loom-run -l workflow -d 'Workflow file, relative to the current folder [default: .loom/workflow.yml of the repository]' -r -F
complete -c loom-run -l job -d 'Run this job, with what it needs; may be repeated. The name of a parallel job means all its copies' -r
complete -c loom-run -l from-stage -d 'Leave out the stages before this one' -r
complete -c loom-run -l manual -d 'Start this manual job too; may be repeated' -r
complete -c loom-run -l failed -d 'Run again what failed or was skipped in this run (an id, a part of one, or `latest`, which is the default), with the artifacts of its finished jobs' -r
complete -c loom-run -l repeat -d 'Do the same run N times, each in a new workspace, and say which jobs failed how often' -r
complete -c loom-run -l docker-workspace-mount -d 'How Docker jobs get their workspace [default: ephemeral_volume]' -r -f -a "bind_mount\t'The workspace itself is mounted: what the job writes is there at once'
ephemeral_volume\t'A volume that holds what the workspace holds, removed after the job'"
complete -c loom-run -l docker-workspace-sync -d 'What of an ephemeral volume comes back into the run\'s workspace [default: declared]' -r -f -a "none\t'Nothing; artifacts still reach the logs tree'
declared\t'Declared artifacts'
full\t'Every change'"
complete -c loom-run -s j -l jobs -d 'Jobs that run at the same time [default: number of processors]' -r
complete -c loom-run -l include-ignored -d 'Also copy files that git ignores whose path matches; may be repeated' -r
complete -c loom-run -l var -d 'Give a variable a value, above all that the workflow says; may be repeated' -r
complete -c loom-run -l env-file -d 'Give variables the values of a file of NAME=value lines, below `--var` and above the workflow; may be repeated' -r -F
complete -c loom-run -l changes-base -d 'What `changes` rules compare with [default: where the default branch was left]' -r
complete -c loom-run -l grace -d 'Seconds that a job has to end after it was asked to, before it is killed' -r
complete -c loom-run -l color -d 'When to colour' -r -f -a "auto\t''
always\t''
never\t''"
complete -c loom-run -l local -d 'Run on this machine (the default: nothing remote exists yet)'
complete -c loom-run -l stream -d 'Show the output of jobs as it comes, each line behind its job\'s name'
complete -c loom-run -l only -d 'Run the named jobs without what they need'
complete -c loom-run -l in-place -d 'With --failed: work in that run\'s own workspace as it was left, instead of in a new one'
complete -c loom-run -l dry-run -d 'Print what would run and what would be skipped, and why; copy and run nothing'
complete -c loom-run -l until-fail -d 'Repeat the run until it fails, at most as often as --repeat says'
complete -c loom-run -l fail-fast -d 'End the run at the first failure'
complete -c loom-run -l isolate-jobs -d 'Give every job a copy of the workspace of its own, with the artifacts of the jobs it depends on'
complete -c loom-run -l no-untracked -d 'Do not copy files that git does not track'
complete -c loom-run -l shell-on-failure -d 'When a job failed and the run is over, open a shell in its workspace, with its variables'
complete -c loom-run -s q -l quiet -d 'Say only what is wrong and what the command must print'
complete -c loom-run -s v -l verbose -d 'Say more about what is done'
complete -c loom-run -s h -l help -d 'Print help (see more with \'--help\')'
complete -c loom-run -s V -l version -d 'Print version'
