//! The environment of a job: inherited, predefined, then the job's own variables, expanded.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use libloom_contract::graph::Node;

use crate::expanded;

/// Variables by which a git hook points git at the user's own repository. A job that inherited
/// them would work on that one instead of on its workspace.
pub const GIT_LOCATION: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
];

/// A job's environment and the part of it that a login profile must not change.
#[derive(Debug)]
pub struct JobEnvironment {
    /// Everything the shell is started with.
    pub all: Vec<(OsString, OsString)>,
    /// Predefined and own variables.
    pub own: Vec<(String, String)>,
    /// The `PATH` that is put in front of the profile's.
    pub path: String,
}

impl JobEnvironment {
    /// Sets variables of the shell, above whatever they were.
    pub fn set(&mut self, variables: &[(String, OsString)]) {
        let is_new = |name: &OsStr| !variables.iter().any(|(new, _)| name == new.as_str());
        self.all.retain(|(name, _)| is_new(name));
        let new = variables.iter().map(|(name, value)| (name.into(), value.clone()));
        self.all.extend(new);
    }
}

/// Builds a job's environment on top of what is around it: on the host the environment of the run,
/// in a container that of the image.
pub fn job_environment<'a>(
    around: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    predefined: &BTreeMap<String, String>,
    node: &Node,
) -> JobEnvironment {
    let mut all: HashMap<OsString, OsString> = around
        .filter(|(name, _)| !GIT_LOCATION.iter().any(|location| name == location))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    all.remove(OsStr::new("OLDPWD"));
    let outer = |name: &str| all.get(OsStr::new(name)).map(|v| v.to_string_lossy().into_owned());
    let own = expanded(&node.variables, predefined, &outer);
    for (name, value) in &own {
        all.insert(name.into(), value.into());
    }
    let path = all.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
    JobEnvironment {
        all: all.into_iter().collect(),
        own: own.into_iter().collect(),
        path: path.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use libloom_contract::graph::Variable;

    use super::*;

    fn node(variables: &[(&str, &str)]) -> Node {
        let variable = |(name, value): &(&str, &str)| Variable {
            name: (*name).into(),
            value: (*value).into(),
            origin: None,
        };
        let variables = variables.iter().map(variable).collect();
        Node { variables, ..Node::host("build", "ci") }
    }

    #[test]
    fn references_expand_in_any_order_and_own_name_means_the_layer_below() {
        let node = node(&[
            ("CACHE", "$GOPATH/cache"),
            ("GOPATH", "$LOOM_PROJECT_DIR/.go"),
            ("PATH", "/opt/bin:$PATH"),
            ("LITERAL", "$$GOPATH $UNKNOWN ${HOST}"),
        ]);
        let predefined = BTreeMap::from([("LOOM_PROJECT_DIR".to_owned(), "/w".to_owned())]);
        let inherited = [("PATH", "/bin"), ("HOST", "$GOPATH"), ("GIT_DIR", "/user/.git")];
        let inherited = inherited.map(|(n, v)| (OsStr::new(n), OsStr::new(v)));
        let job = job_environment(inherited.into_iter(), &predefined, &node);
        let all: HashMap<_, _> = job.all.into_iter().collect();
        let value = |name: &str| all.get(OsStr::new(name)).map(|v| v.to_str().unwrap());
        assert_eq!(value("CACHE"), Some("/w/.go/cache"));
        assert_eq!(value("PATH"), Some("/opt/bin:/bin"));
        assert_eq!(job.path, "/opt/bin:/bin");
        assert_eq!(value("LITERAL"), Some("$GOPATH $UNKNOWN $GOPATH"));
        assert_eq!(value("GIT_DIR"), None);
    }
}
