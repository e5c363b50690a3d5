//! Variables that jobs leave for later ones (`artifacts.reports.dotenv`).

use std::collections::HashMap;
use std::sync::Mutex;

use libloom_contract::graph::Node;
use libloom_contract::reports::DotenvVariable;

use crate::{Override, put};

/// Variables that jobs of this run have left for later ones.
#[derive(Debug, Default)]
pub struct Handed {
    by_job: Mutex<HashMap<String, Left>>,
}

#[derive(Debug)]
struct Left {
    stage: String,
    variables: Vec<DotenvVariable>,
}

impl Handed {
    /// A job has left these, in place of what an earlier attempt left.
    pub fn leave(&self, node: &Node, variables: Vec<DotenvVariable>) {
        let left = Left { stage: node.stage.clone(), variables };
        let mut by_job = self.by_job.lock().expect("no thread panics while it holds the lock");
        by_job.insert(node.id.clone(), left);
    }

    /// What a document says that a job has left; returns the names of variables whose values were
    /// not recorded.
    pub fn take_over(&self, node: &Node, variables: Vec<DotenvVariable>) -> Vec<String> {
        let (hidden, known): (Vec<_>, Vec<_>) =
            variables.into_iter().partition(|variable| variable.hidden);
        self.leave(node, known);
        hidden.into_iter().map(|variable| variable.name).collect()
    }

    /// The job with the variables it gets: of the jobs it needs with their artifacts or, where it
    /// has no `needs`, of all earlier stages. Later stages, then later ids, come on top; what the
    /// command line sets stays above them.
    pub fn give(&self, node: &Node, stages: &[String], overrides: &[Override]) -> Option<Node> {
        let by_job = self.by_job.lock().expect("no thread panics while it holds the lock");
        let place = |stage: &str| stages.iter().position(|name| name == stage);
        let own = place(&node.stage);
        let is_wanted = |id: &str, left: &Left| match &node.needs {
            Some(needs) => needs.iter().any(|need| need.job == id && need.artifacts),
            None => place(&left.stage) < own,
        };
        let mut wanted: Vec<(&String, &Left)> =
            by_job.iter().filter(|(id, left)| is_wanted(id, left)).collect();
        wanted.sort_by_key(|(id, left)| (place(&left.stage), *id));
        let variables: Vec<&DotenvVariable> = wanted
            .into_iter()
            .flat_map(|(_, left)| &left.variables)
            .filter(|variable| !overrides.iter().any(|given| given.name == variable.name))
            .collect();
        if variables.is_empty() {
            return None;
        }
        let mut node = node.clone();
        for variable in variables {
            // Nothing in a report is a reference.
            let value = variable.value.replace('$', "$$");
            put(&mut node.variables, &variable.name, &value, None);
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use libloom_contract::graph::Need;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<DotenvVariable> {
        let variable = |&(name, value): &(&str, &str)| DotenvVariable {
            name: name.into(),
            value: value.into(),
            hidden: false,
        };
        pairs.iter().map(variable).collect()
    }

    fn given(handed: &Handed, node: &Node, overrides: &[Override]) -> Vec<(String, String)> {
        let stages = ["build", "test", "deploy"].map(str::to_owned);
        let node = handed.give(node, &stages, overrides);
        let variables = node.map(|node| node.variables).unwrap_or_default();
        variables.into_iter().map(|variable| (variable.name, variable.value)).collect()
    }

    #[test]
    fn variables_go_to_later_stages_or_to_who_needs_them() {
        let handed = Handed::default();
        handed.leave(&Node::host("a", "build"), variables(&[("A", "1"), ("BOTH", "a")]));
        handed.leave(&Node::host("b", "test"), variables(&[("BOTH", "b$X")]));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());

        let later = Node::host("z", "deploy");
        assert_eq!(given(&handed, &later, &[]), [pair("A", "1"), pair("BOTH", "b$$X")]);
        let same_stage = Node::host("c", "test");
        assert_eq!(given(&handed, &same_stage, &[]), [pair("A", "1"), pair("BOTH", "a")]);
        let need = |artifacts| Need { job: "a".into(), optional: false, artifacts };
        let with = Node { needs: Some(vec![need(true)]), ..later.clone() };
        assert_eq!(given(&handed, &with, &[]), [pair("A", "1"), pair("BOTH", "a")]);
        let without = Node { needs: Some(vec![need(false)]), ..later.clone() };
        assert_eq!(given(&handed, &without, &[]), []);
        let over = Override { name: "A".into(), value: "9".into(), from: "--var".into() };
        assert_eq!(given(&handed, &later, &[over]), [pair("BOTH", "b$$X")]);
    }
}
