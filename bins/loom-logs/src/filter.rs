//! Which runs `loom logs list` shows: by status, workflow, branch and age.

use std::path::Path;

use libloom_contract::{Reason, Timestamp};

use crate::{
    list::{Row, Standing},
    when::{self, When},
};

/// What a run must be like to be listed. A run without a receipt has no branch and no workflow.
#[derive(clap::Args, Debug)]
pub(crate) struct Filter {
    /// Only runs that stand like this
    #[arg(long, value_name = "STATUS")]
    status: Option<Standing>,
    /// Only runs of this workflow file: its path, or the end of it
    #[arg(long, value_name = "FILE")]
    workflow: Option<String>,
    /// Only runs of this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Only runs that began after this: an age such as 12h, or a time
    #[arg(long, value_name = "AGE|TIME", value_parser = when::parse)]
    since: Option<When>,
    /// Only runs that began before this: an age such as 7d, or a time
    #[arg(long, value_name = "AGE|TIME", value_parser = when::parse)]
    older_than: Option<When>,
}

impl Filter {
    /// Whether every run passes.
    pub(crate) fn is_open(&self) -> bool {
        let texts = self.workflow.is_none() && self.branch.is_none();
        self.status.is_none() && texts && self.since.is_none() && self.older_than.is_none()
    }

    /// Whether a run that began then can pass at all.
    pub(crate) fn in_time(&self, began: Option<Timestamp>) -> bool {
        let is = |like: &dyn Fn(Timestamp) -> bool| began.is_some_and(like);
        self.since.is_none_or(|since| is(&|began| began >= since.moment()))
            && self.older_than.is_none_or(|until| is(&|began| began < until.moment()))
    }

    /// Whether a run is like that; its time was looked at before.
    pub(crate) fn passes(&self, row: &Row) -> bool {
        let stands = self.status.is_none_or(|status| stands(row, status));
        let branch = self.branch.as_deref();
        let workflow = self.workflow.as_deref();
        stands
            && branch.is_none_or(|branch| row.branch.as_deref() == Some(branch))
            && workflow.is_none_or(|end| {
                row.workflow_path
                    .as_deref()
                    .is_some_and(|path| Path::new(path).ends_with(end.trim_start_matches("./")))
            })
    }
}

fn stands(row: &Row, like: Standing) -> bool {
    let killed = like == Standing::Interrupted && row.reason == Some(Reason::Interrupted);
    row.state == like || killed
}
