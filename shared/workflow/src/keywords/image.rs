//! `image`: a reference, or a mapping; `""` means the host.

use libloom_contract::graph::{Build, Image, PullPolicy};

use crate::check::Checker;
use crate::problem::Problem;
use crate::tree::{Kind, Mapping, Node};

const KEYS: &[&str] =
    &["name", "build", "entrypoint", "user", "platform", "pull_policy", "network"];
const BUILD_KEYS: &[&str] = &["context", "dockerfile", "output"];

/// The words of `pull_policy`.
pub(crate) const PULL_POLICIES: &[(&str, PullPolicy)] = &[
    ("always", PullPolicy::Always),
    ("if_not_present", PullPolicy::IfNotPresent),
    ("never", PullPolicy::Never),
];

/// `None`: the host. With `partial` (a template, `default`) nothing is missed.
pub(crate) fn image(check: &mut Checker<'_>, node: &Node, partial: bool) -> Option<Image> {
    match node.kind() {
        Kind::String => {
            let name = node.as_text().unwrap_or_default();
            (!name.trim().is_empty())
                .then(|| Image { name: Some(name.to_owned()), ..Image::default() })
        }
        Kind::Mapping => mapping(check, node, partial),
        Kind::Null => {
            let problem = Problem::error(node.mark, "\"image\" has no value");
            check.note(problem.fix("name an image, or write image: \"\" to run on the host"));
            None
        }
        _ => {
            check.wrong_type(node, "string or mapping", "image");
            None
        }
    }
}

fn mapping(check: &mut Checker<'_>, node: &Node, partial: bool) -> Option<Image> {
    let fields = node.as_mapping()?;
    check.unknown_keys(fields, KEYS, "in image");
    let mut image = Image::default();
    if let Some(name) = fields.get("name") {
        image.name = check.text(name, "image.name").map(str::to_owned);
    }
    if let Some(build) = fields.get("build") {
        image.build = self::build(check, build, partial);
    }
    if let Some(entrypoint) = fields.get("entrypoint") {
        image.entrypoint = words(check, entrypoint, "image.entrypoint");
    }
    let mut text = |key: &str, place: &mut Option<String>| {
        if let Some(value) = fields.get(key) {
            *place = check.text(value, &format!("image.{key}")).map(str::to_owned);
        }
    };
    text("user", &mut image.user);
    text("platform", &mut image.platform);
    text("network", &mut image.network);
    if let Some(policy) = fields.get("pull_policy") {
        image.pull_policy = check.word(policy, "image.pull_policy", PULL_POLICIES);
    }
    if !partial && fields.get("name").is_none() && fields.get("build").is_none() {
        check.missing(node.mark, "name", "in image");
    }
    Some(image)
}

/// A command line as a list of words, of which some may be empty.
pub(crate) fn words(check: &mut Checker<'_>, node: &Node, key: &str) -> Option<Vec<String>> {
    let items = check.sequence(node, key)?;
    Some(items.iter().filter_map(|item| check.any_text(item, key)).map(str::to_owned).collect())
}

fn build(check: &mut Checker<'_>, node: &Node, partial: bool) -> Option<Build> {
    let fields = check.mapping(node, "image.build")?;
    check.unknown_keys(fields, BUILD_KEYS, "in image.build");
    let mut required = |key: &str| match fields.get(key) {
        Some(value) => check.text(value, &format!("image.build.{key}")).map(str::to_owned),
        None => {
            if !partial {
                check.missing(node.mark, key, "in image.build");
            }
            None
        }
    };
    let (context, dockerfile) = (required("context"), required("dockerfile"));
    let output = fields.get("output").and_then(|value| check.text(value, "image.build.output"));
    let output = output.map(str::to_owned);
    let (context, dockerfile) = (context?, dockerfile?);
    if partial {
        return Some(Build { context, dockerfile, output });
    }
    let context = find_context(check, fields, &context, &dockerfile)?;
    Some(Build { context, dockerfile, output })
}

/// The folder of the build, relative to the repository root: below the workflow file's folder,
/// or, for a workflow in `.loom/`, below the root.
fn find_context(
    check: &mut Checker<'_>,
    fields: &Mapping,
    context: &str,
    dockerfile: &str,
) -> Option<String> {
    let dockerfile_mark = fields.get("dockerfile")?.mark;
    if join("", dockerfile).is_none_or(|path| path.is_empty()) {
        let problem = Problem::error(
            dockerfile_mark,
            format!("dockerfile \"{dockerfile}\" is not inside the build context"),
        );
        check.note(problem.fix("set image.build.dockerfile to a path inside the context"));
        return None;
    }
    let folder = check.workflow.rsplit_once('/').map_or("", |(folder, _)| folder);
    let bases = if folder == ".loom" { vec![folder, ""] } else { vec![folder] };
    let mut tried = Vec::new();
    for base in bases {
        let Some(candidate) = join(base, context) else { continue };
        let file = join(&candidate, dockerfile).unwrap_or_default();
        if (check.exists)(&file) {
            return Some(if candidate.is_empty() { ".".to_owned() } else { candidate });
        }
        tried.push(format!("\"{file}\""));
    }
    let problem = if tried.is_empty() {
        let mark = fields.get("context")?.mark;
        Problem::error(mark, format!("build context \"{context}\" is outside the repository"))
            .fix("set image.build.context to a folder of the repository")
    } else {
        Problem::error(dockerfile_mark, format!("no Dockerfile at {}", tried.join(" or ")))
            .fix("correct image.build.context or image.build.dockerfile (relative to the repository root as shown)")
    };
    check.note(problem);
    None
}

/// `base/path` without `.` and `..`; `None` when it is absolute or leaves the root.
fn join(base: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn paths_are_joined_within_the_root() {
        assert_eq!(join(".loom", "..").as_deref(), Some(""));
        assert_eq!(join("a/b", "../c/./d").as_deref(), Some("a/c/d"));
        assert_eq!(join("", ".").as_deref(), Some(""));
        assert_eq!(join("a", "../.."), None);
        assert_eq!(join("a", "/b"), None);
    }
}
