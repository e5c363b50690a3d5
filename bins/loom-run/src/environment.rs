//! The environment of a job: inherited, predefined, then the job's own variables, expanded.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    path::Path,
};

use libloom_contract::{env, graph::Node, snapshot::Facts, variables};

/// Variables by which a git hook points git at the user's own repository. A job that inherited
/// them would work on that one instead of on its workspace.
const GIT_LOCATION: [&str; 10] = [
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

/// What predefined variables are made of.
#[derive(Debug)]
pub struct Predefined<'a> {
    /// The run.
    pub run_id: &'a str,
    /// The pipeline.
    pub pipeline_id: &'a str,
    /// Workflow file, relative to the repository root.
    pub workflow_path: &'a str,
    /// Name of the repository's folder.
    pub project_name: Cow<'a, str>,
    /// Folder the job works in, as the job sees it.
    pub workspace: &'a Path,
    /// State of the repository.
    pub facts: &'a Facts,
}

impl Predefined<'_> {
    /// Names and values for one job; what is not known is left out.
    pub fn of_job(&self, node: &Node) -> BTreeMap<String, String> {
        let workspace = self.workspace.to_string_lossy().into_owned();
        let image = node.image.as_ref().and_then(|image| image.name.clone());
        let mut found: Vec<(&str, Option<String>)> = vec![
            (env::CI, Some("true".into())),
            (env::LOOM_CI, Some("true".into())),
            (env::RUN_ID, Some(self.run_id.into())),
            (env::PIPELINE_ID, Some(self.pipeline_id.into())),
            ("CI_PIPELINE_ID", Some(self.pipeline_id.into())),
            (env::WORKFLOW_PATH, Some(self.workflow_path.into())),
            ("CI_CONFIG_PATH", Some(self.workflow_path.into())),
            (env::JOB_NAME, Some(node.id.clone())),
            ("CI_JOB_NAME", Some(node.id.clone())),
            (env::JOB_ID, Some(node.id.clone())),
            ("CI_JOB_ID", Some(node.id.clone())),
            (env::JOB_STAGE, Some(node.stage.clone())),
            ("CI_JOB_STAGE", Some(node.stage.clone())),
            (env::JOB_TARGET, Some(node.target.clone())),
            (env::JOB_IMAGE, image.clone()),
            ("CI_JOB_IMAGE", image),
            (env::PROVIDER, Some(node.provider.word().into())),
            (env::PROJECT_DIR, Some(workspace.clone())),
            ("CI_PROJECT_DIR", Some(workspace)),
            ("CI_PROJECT_NAME", Some(self.project_name.clone().into_owned())),
        ];
        found.extend(self.of_commit());
        let known = found.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        known.collect()
    }

    /// What rules and jobs may know of the commit.
    pub fn of_commit(&self) -> Vec<(&'static str, Option<String>)> {
        let facts = self.facts;
        let short = facts.head_sha.as_ref().map(|sha| sha.chars().take(8).collect());
        let reference = facts.branch.clone().or_else(|| facts.tag.clone());
        vec![
            ("CI_COMMIT_SHA", facts.head_sha.clone()),
            ("CI_COMMIT_SHORT_SHA", short),
            ("CI_COMMIT_BRANCH", facts.branch.clone()),
            ("CI_COMMIT_TAG", facts.tag.clone()),
            ("CI_COMMIT_TITLE", facts.head_title.clone()),
            ("CI_COMMIT_REF_SLUG", reference.as_deref().map(slug)),
            ("CI_COMMIT_REF_NAME", reference),
            ("CI_DEFAULT_BRANCH", facts.default_branch.clone()),
        ]
    }
}

/// Lowercase letters, digits and single dashes, at most 63.
fn slug(reference: &str) -> String {
    let lower = reference.to_lowercase();
    let dashed: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let short: String = dashed.chars().take(63).collect();
    short.trim_matches('-').to_owned()
}

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

/// Builds a host job's environment.
pub fn of_host_job<'a>(
    inherited: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    predefined: &BTreeMap<String, String>,
    node: &Node,
) -> JobEnvironment {
    let mut all: HashMap<OsString, OsString> = inherited
        .filter(|(name, _)| !GIT_LOCATION.iter().any(|location| name == location))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    all.remove(OsStr::new("OLDPWD"));
    let host = |name: &str| all.get(OsStr::new(name)).map(|v| v.to_string_lossy().into_owned());
    let own = expanded(node, predefined, &host);
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

/// Predefined variables, the job's own above them, every reference expanded.
fn expanded(
    node: &Node,
    predefined: &BTreeMap<String, String>,
    host: &impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let own: HashMap<&str, &str> =
        node.variables.iter().map(|v| (v.name.as_str(), v.value.as_str())).collect();
    let mut all = predefined.clone();
    for variable in &node.variables {
        let mut open = Vec::new();
        let value = value_of(&variable.name, &own, predefined, host, &mut open);
        all.insert(variable.name.clone(), value.unwrap_or_default());
    }
    all
}

/// The value of a name. Within its own value a name means the layer below; the compiler has
/// refused every longer cycle, so `open` only ever ends those.
fn value_of<'a>(
    name: &'a str,
    own: &HashMap<&'a str, &'a str>,
    predefined: &BTreeMap<String, String>,
    host: &impl Fn(&str) -> Option<String>,
    open: &mut Vec<String>,
) -> Option<String> {
    match own.get(name) {
        Some(value) if !open.iter().any(|outer| outer == name) => {
            open.push(name.to_owned());
            let text = variables::expand(value, |inner| {
                let known = own.get_key_value(inner).map(|(key, _)| *key);
                match known {
                    Some(known) => value_of(known, own, predefined, host, open),
                    None => predefined.get(inner).cloned().or_else(|| host(inner)),
                }
            });
            open.pop();
            Some(text)
        }
        _ => predefined.get(name).cloned().or_else(|| host(name)),
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
        let job = of_host_job(inherited.into_iter(), &predefined, &node);
        let all: HashMap<_, _> = job.all.into_iter().collect();
        let value = |name: &str| all.get(OsStr::new(name)).map(|v| v.to_str().unwrap());
        assert_eq!(value("CACHE"), Some("/w/.go/cache"));
        assert_eq!(value("PATH"), Some("/opt/bin:/bin"));
        assert_eq!(job.path, "/opt/bin:/bin");
        assert_eq!(value("LITERAL"), Some("$GOPATH $UNKNOWN $GOPATH"));
        assert_eq!(value("GIT_DIR"), None);
    }

    #[test]
    fn slugs_are_short_and_plain() {
        assert_eq!(slug("Feature/Ünï_x"), "feature--n--x");
        assert_eq!(slug(&"a".repeat(80)).len(), 63);
    }
}
