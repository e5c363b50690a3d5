#!/bin/sh
# Prints all that git and the file system say about a work tree, in a canonical form: two trees
# are the same if and only if their lists are. Made with git, find and sha256sum alone, so that it
# is no judge in its own cause. Usage: tree_list.sh [FOLDER]; it can also run inside a job.
#
# Records end in NUL, because names may hold line breaks. Paths that the index names and the work
# tree lacks show in the status only.
set -eu
cd "${1:-.}"
export LC_ALL=C GIT_OPTIONAL_LOCKS=0
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE

paths() { git ls-files -z --cached --others --exclude-standard | sort -z -u; }
present() { paths | { find -files0-from - -maxdepth 0 "$@" 2>/dev/null || :; }; }

printf 'type, mode, link target, path\0'
present -printf '%y %m %l %p\0'
printf 'content\0'
present -type f -print0 | xargs -0 -r sha256sum -z --
printf 'index\0'
git ls-files -z --stage
printf 'status\0'
git status --porcelain=v2 -z
