//! Layers of a job: `extends`, then `default`, then the root's variables.
//!
//! Resolution order: parse → includes → merge → extends → default → validate, so that a value
//! written in a template beats one in `default`.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use libloom_contract::graph::Layer;

use crate::check::Checker;
use crate::merge::merge;
use crate::names::chain;
use crate::problem::Problem;
use crate::source::Mark;
use crate::tree::{Entry, Kind, Mapping, Node, Stratum, Value};

/// Longest chain of `extends`.
pub(crate) const MAX_EXTENDS: usize = 10;

/// The names that `extends` may use.
pub(crate) struct Known<'k, 'r> {
    /// Jobs and templates.
    pub(crate) entries: &'k [&'r Entry],
    /// Those of which nothing is known but the name.
    pub(crate) lost: &'k HashSet<&'r str>,
}

/// All jobs and templates of a workflow by name, and what lies below them.
pub(crate) struct Layers<'r> {
    jobs: HashMap<&'r str, &'r Entry>,
    parents: HashMap<&'r str, Vec<(&'r str, Mark)>>,
    /// Templates with their own parents merged in; `None` while or because it cannot be made.
    templates: HashMap<&'r str, Option<Rc<Node>>>,
    /// Jobs and templates that extend what is not there or cannot be read.
    partial: HashSet<&'r str>,
    /// `default` cannot be read.
    no_default: bool,
    below: Option<Node>,
}

impl<'r> Layers<'r> {
    /// Notes everything that is wrong with `extends`.
    pub(crate) fn new(
        check: &mut Checker<'_>,
        known: &Known<'_, 'r>,
        default: Option<&Node>,
        variables: Option<&Entry>,
    ) -> Self {
        let entries = known.entries;
        let jobs: HashMap<&str, &Entry> =
            entries.iter().map(|entry| (&*entry.key, *entry)).collect();
        let mut parents = HashMap::new();
        let mut partial = HashSet::new();
        for entry in entries {
            let (found, all) = parents_of(check, entry, &jobs, known);
            parents.insert(&*entry.key, found);
            if !all {
                partial.insert(&*entry.key);
            }
        }
        let mut layers = Layers {
            jobs,
            parents,
            templates: HashMap::new(),
            partial,
            no_default: default.is_some_and(|node| node.as_mapping().is_none()),
            below: below(default, variables),
        };
        layers.check_chains(check, entries);
        layers
    }

    /// Names of all jobs and templates that some job extends.
    pub(crate) fn extended(&self) -> impl Iterator<Item = &'r str> + '_ {
        self.parents.values().flatten().map(|(name, _)| *name)
    }

    /// Whether all that the job inherits is known.
    pub(crate) fn is_whole(&self, name: &str) -> bool {
        let mut names: Vec<&str> = vec![name];
        let mut seen: HashSet<&str> = HashSet::new();
        while let Some(name) = names.pop() {
            if self.partial.contains(name) {
                return false;
            }
            if seen.insert(name) {
                names.extend(
                    self.parents.get(name).into_iter().flatten().map(|(parent, _)| *parent),
                );
            }
        }
        !self.no_default
    }

    /// A job with all layers below it; `None` when a template of it cannot be had.
    pub(crate) fn job(&mut self, check: &mut Checker<'_>, entry: &'r Entry) -> Option<Node> {
        let own = self.with_parents(check, &entry.key, &Stratum::of(Layer::Job))?;
        Some(match &self.below {
            Some(below) => merge(below.clone(), own),
            None => own,
        })
    }

    fn with_parents(
        &mut self,
        check: &mut Checker<'_>,
        name: &str,
        stratum: &Stratum,
    ) -> Option<Node> {
        let entry = *self.jobs.get(name)?;
        let mut own = without_extends(&entry.value)?;
        own.stamp(stratum);
        let mut base: Option<Node> = None;
        for (parent, _) in self.parents.get(name).cloned().unwrap_or_default() {
            let parent = self.template(check, parent)?;
            let below = base.as_ref().map_or(0, Node::size);
            if !check.take_merge(below + parent.size()) {
                return None;
            }
            base = Some(match base {
                Some(base) => merge(base, (*parent).clone()),
                None => (*parent).clone(),
            });
        }
        Some(match base {
            Some(base) => merge(base, own),
            None => own,
        })
    }

    /// Recursion ends: chains are no longer than the limit, or marked as impossible before.
    fn template(&mut self, check: &mut Checker<'_>, name: &'r str) -> Option<Rc<Node>> {
        if let Some(known) = self.templates.get(name) {
            return known.clone();
        }
        let stratum = Stratum { layer: Layer::Template, template: Some(name.into()) };
        let made = self.with_parents(check, name, &stratum);
        let made = made.filter(|node| check.take(node.size())).map(Rc::new);
        self.templates.insert(name, made.clone());
        made
    }

    /// Finds circles and chains that are too long, without recursion; marks what stands on one as
    /// impossible.
    fn check_chains(&mut self, check: &mut Checker<'_>, entries: &[&'r Entry]) {
        let mut heights: HashMap<&str, usize> = HashMap::new();
        for entry in entries {
            let mut path: Vec<(&'r str, usize)> = vec![(&entry.key, 0)];
            let mut on_path: HashSet<&str> = HashSet::from([&*entry.key]);
            while let Some((name, next)) = path.last().copied() {
                let parents = self.parents.get(name).map(Vec::as_slice).unwrap_or_default();
                match parents.get(next) {
                    _ if heights.contains_key(name) => {
                        on_path.remove(name);
                        path.pop();
                    }
                    Some((parent, mark)) => {
                        path.last_mut().expect("the loop runs while there is one").1 += 1;
                        if on_path.contains(parent) {
                            let names = path.iter().map(|(name, _)| *name);
                            let circle = names.skip_while(|name| name != parent).chain([*parent]);
                            let mark = self.extends_mark(parent).unwrap_or(*mark);
                            note_cycle(check, &circle.collect::<Vec<_>>(), mark);
                            self.templates.insert(parent, None);
                        } else if !heights.contains_key(parent) {
                            on_path.insert(parent);
                            path.push((*parent, 0));
                        }
                    }
                    None => {
                        let of =
                            |(parent, _): &(&str, Mark)| heights.get(parent).map_or(0, |h| h + 1);
                        let height = parents.iter().map(of).max().unwrap_or(0);
                        heights.insert(name, height);
                        if height == MAX_EXTENDS + 1 {
                            self.note_too_deep(check, name);
                        }
                        if height > MAX_EXTENDS {
                            self.templates.insert(name, None);
                        }
                        on_path.remove(name);
                        path.pop();
                    }
                }
            }
        }
    }

    fn extends_mark(&self, name: &str) -> Option<Mark> {
        let fields = self.jobs.get(name)?.value.as_mapping()?;
        fields.get("extends").map(|node| node.mark)
    }

    fn note_too_deep(&self, check: &mut Checker<'_>, name: &str) {
        let Some(mark) = self.extends_mark(name) else { return };
        let message = format!("\"extends\" is more than {MAX_EXTENDS} templates deep");
        check.note(Problem::error(mark, message).fix("flatten the chain of templates"));
    }
}

fn note_cycle(check: &mut Checker<'_>, members: &[&str], mark: Mark) {
    let message = format!("resolve extends cycle by removing one extends edge: {}", chain(members));
    check.note(Problem::error(mark, message));
}

/// The names in `extends`, each with its place, and whether these are all; unknown ones become
/// problems.
fn parents_of<'r>(
    check: &mut Checker<'_>,
    entry: &'r Entry,
    jobs: &HashMap<&'r str, &'r Entry>,
    known: &Known<'_, 'r>,
) -> (Vec<(&'r str, Mark)>, bool) {
    let Some(node) = entry.value.as_mapping().and_then(|fields| fields.get("extends")) else {
        return (Vec::new(), true);
    };
    let items = match node.kind() {
        Kind::String => std::slice::from_ref(node),
        Kind::Sequence => node.as_sequence().unwrap_or_default(),
        _ => {
            let fix = "name a template, or list several";
            check.wrong_type_fix(node, "string or sequence", "extends", Some(fix));
            return (Vec::new(), false);
        }
    };
    let mut parents: Vec<(&str, Mark)> = Vec::new();
    let mut seen: HashMap<&str, Mark> = HashMap::new();
    let listed: HashSet<&str> = items.iter().filter_map(Node::as_string).collect();
    let mut all = true;
    for item in items {
        let Some(name) = check.name(item, "extends") else {
            all = false;
            continue;
        };
        if let Some(first) = seen.get(name) {
            let problem = Problem::error(item.mark, format!("\"{name}\" is extended twice"));
            check.note(problem.fix("remove one of the two").related(*first, "first extended here"));
        } else if jobs.contains_key(name) {
            parents.push((name, item.mark));
            seen.insert(name, item.mark);
        } else {
            all = false;
            let others = known.entries.iter().map(|other| &*other.key);
            let free = |other: &&str| **other != *entry.key && !listed.contains(*other);
            let near = check.nearest(name, others.filter(free));
            if known.lost.contains(name) || (near.is_none() && !check.complete) {
                continue;
            }
            let mut problem = Problem::error(item.mark, format!("unknown template \"{name}\""))
                .fix("define it here or in an included file")
                .did_you_mean(near);
            if let Some(near) = near {
                problem = problem.edit(item.mark, near);
            }
            check.note(problem);
        }
    }
    (parents, all)
}

fn without_extends(node: &Node) -> Option<Node> {
    let mut node = node.clone();
    let Value::Mapping(mapping) = &mut node.value else { return None };
    mapping.remove("extends");
    Some(node)
}

/// What lies below every job: the root's variables, and `default` over them.
fn below(default: Option<&Node>, variables: Option<&Entry>) -> Option<Node> {
    let root = variables.filter(|entry| entry.value.as_mapping().is_some()).map(|entry| {
        let mut entry = entry.clone();
        entry.value.stamp(&Stratum::of(Layer::Root));
        let mark = entry.value.mark;
        Node::new(Value::Mapping(Mapping { entries: vec![entry] }), mark)
    });
    let default = default.filter(|node| node.as_mapping().is_some()).cloned().map(|mut node| {
        node.stamp(&Stratum::of(Layer::Default));
        node
    });
    match (root, default) {
        (Some(root), Some(default)) => Some(merge(root, default)),
        (root, default) => root.or(default),
    }
}
