//! `needs`: the jobs a job waits for in place of its stage's barrier.

use std::collections::HashMap;

use libloom_contract::graph::Need;

use crate::check::Checker;
use crate::problem::Problem;
use crate::source::Mark;
use crate::tree::{Kind, Node};

/// Entries with their places; names are checked once all jobs are known.
pub(crate) fn needs(check: &mut Checker<'_>, node: &Node) -> Option<Vec<(Need, Mark)>> {
    let items = check.sequence(node, "needs")?;
    let mut needs: Vec<(Need, Mark)> = Vec::with_capacity(items.len());
    let mut seen: HashMap<String, Mark> = HashMap::new();
    for item in items {
        let Some((need, mark)) = need(check, item) else { continue };
        match seen.insert(need.job.clone(), mark) {
            Some(first) => {
                let problem = Problem::error(mark, format!("job \"{}\" is needed twice", need.job));
                check
                    .note(problem.fix("remove one of the two").related(first, "first needed here"));
            }
            None => needs.push((need, mark)),
        }
    }
    Some(needs)
}

fn need(check: &mut Checker<'_>, node: &Node) -> Option<(Need, Mark)> {
    if node.kind() == Kind::String {
        let job = check.text(node, "needs[]")?.to_owned();
        return Some((Need { job, optional: false, artifacts: true }, node.mark));
    }
    let Some(fields) = node.as_mapping() else {
        check.wrong_type(node, "string or mapping", "needs[]");
        return None;
    };
    check.unknown_keys(fields, &["job", "optional", "artifacts"], "in needs entry");
    let mut flag = |key: &str| {
        fields.get(key).and_then(|value| check.boolean(value, &format!("needs[].{key}")))
    };
    let (optional, artifacts) =
        (flag("optional").unwrap_or(false), flag("artifacts").unwrap_or(true));
    let Some(job) = fields.get("job") else {
        check.missing(node.mark, "job", "in needs entry");
        return None;
    };
    let name = check.name(job, "needs[].job")?.to_owned();
    Some((Need { job: name, optional, artifacts }, job.mark))
}
