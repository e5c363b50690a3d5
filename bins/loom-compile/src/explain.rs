//! `--explain JOB[.KEY]`: where the values of a job come from.

use libloom_contract::exit;
use libloom_contract::graph::{Graph, Layer, Origin};
use libloom_entry::{Context, Failure};
use libloom_workflow::{Explained, Located};

/// Prints the values of a job, or of one key of it.
pub(crate) fn print(
    wanted: &str,
    located: &Located,
    graph: &Graph,
    context: &Context,
) -> Result<u8, Failure> {
    let (job, key) = split(wanted);
    let of_copy = || values_of_copy(job, located, graph);
    let Some(values) = located.explain(job).or_else(of_copy) else {
        return Err(unknown(job, graph));
    };
    let chosen: Vec<&Explained> = values.iter().filter(|value| is_below(&value.key, key)).collect();
    if chosen.is_empty() {
        let what = format!("job `{job}` has no value at `{key}`");
        let hint = format!("see all of them with --explain {job}");
        return Err(Failure::could_not(what).hint(hint));
    }
    let text: String = chosen.into_iter().map(describe).collect();
    context.console.out(&text)?;
    Ok(exit::DONE)
}

/// The values of `name-1` and the like: those of the job, and of its matrix above them.
fn values_of_copy(id: &str, located: &Located, graph: &Graph) -> Option<Vec<Explained>> {
    let node = graph.nodes.iter().find(|node| node.id == id)?;
    let ends = id.rmatch_indices('-').map(|(at, _)| at);
    let mut values = ends.into_iter().find_map(|end| located.explain(&id[..end]))?;
    for variable in &node.variables {
        let Some(origin) = variable.origin.clone() else { continue };
        if origin.layer == Layer::Matrix {
            lay_above(&mut values, format!("variables.{}", variable.name), &variable.value, origin);
        }
    }
    Some(values)
}

fn lay_above(values: &mut Vec<Explained>, key: String, value: &str, origin: Origin) {
    let below = values.iter().position(|other| other.key == key).map(|at| values.remove(at));
    let overridden = below.map_or_else(Vec::new, |below| {
        [(below.value, below.origin)].into_iter().chain(below.overridden).collect()
    });
    values.push(Explained { key, value: value.to_owned(), origin, overridden });
}

/// A template's name starts with a dot of its own.
fn split(wanted: &str) -> (&str, &str) {
    let from = usize::from(wanted.starts_with('.'));
    match wanted[from..].find('.') {
        Some(dot) => (&wanted[..from + dot], &wanted[from + dot + 1..]),
        None => (wanted, ""),
    }
}

fn is_below(key: &str, wanted: &str) -> bool {
    let rest = key.strip_prefix(wanted);
    rest.is_some_and(|rest| wanted.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

fn describe(value: &Explained) -> String {
    let mut text = format!("{}: {}\n    from {}\n", value.key, value.value, place(&value.origin));
    for (below, origin) in &value.overridden {
        text.push_str(&format!("    overrides {below} from {}\n", place(origin)));
    }
    text
}

fn place(origin: &Origin) -> String {
    let layer = match (&origin.layer, &origin.template) {
        (Layer::Template, Some(name)) => format!("template {name}"),
        (Layer::Template, None) => "a template".to_owned(),
        (Layer::Root, _) => "the workflow's variables".to_owned(),
        (Layer::Default, _) => "default".to_owned(),
        (Layer::Job, _) => "the job".to_owned(),
        (Layer::Matrix, _) => "the matrix".to_owned(),
    };
    match &origin.position {
        Some(position) => {
            format!("{}:{}:{} ({layer})", position.file, position.line, position.column)
        }
        None => layer,
    }
}

fn unknown(job: &str, graph: &Graph) -> Failure {
    let names: Vec<&str> = graph.nodes.iter().map(|node| &*node.id).collect();
    Failure::could_not(format!("the workflow has no job `{job}`"))
        .hint(format!("its jobs are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_and_a_key_are_told_apart() {
        assert_eq!(split("build"), ("build", ""));
        assert_eq!(split("build.variables.PATH"), ("build", "variables.PATH"));
        assert_eq!(split(".base.image"), (".base", "image"));
        assert!(is_below("variables.PATH", "variables") && is_below("script[0]", "script"));
        assert!(!is_below("variables.PATHS", "variables.PATH"));
    }
}
