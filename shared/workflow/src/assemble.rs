//! Checks names between jobs, multiplies parallel jobs, and puts the graph together.

use std::collections::{BTreeMap, HashMap, HashSet};

use libloom_contract::graph::{Edge, Graph, Layer, Need, Node, Origin, Rule, Variable};
use libloom_contract::{Document as _, version};
use libloom_variables::put;

use crate::canonical;
use crate::check::Checker;
use crate::job::Draft;
use crate::keywords::parallel::Copy;
use crate::names::{chain, is_template};
use crate::problem::{MAX_PROBLEMS, Problem, code};
use crate::source::{Mark, Sources};

/// Notes needs that name no job, a template, the job itself, a later stage, or form a circle;
/// whether there is none of these circles.
pub(crate) fn check_needs(
    check: &mut Checker<'_>,
    drafts: &[Draft],
    names: &HashSet<&str>,
    stages: &[String],
) -> bool {
    let places: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(place, stage)| (&**stage, place)).collect();
    let order = |stage: &str| places.get(stage).copied();
    let jobs: BTreeMap<&str, &Draft> =
        drafts.iter().map(|draft| (&*draft.node.id, draft)).collect();
    for draft in drafts {
        let mut possible = None;
        for (need, mark) in draft.needs.iter().flatten() {
            let own = &draft.node;
            let Some(needed) = jobs.get(&*need.job) else {
                if !is_told(check, need, *mark, names) {
                    let possible = possible.get_or_insert_with(|| {
                        let may = check.take_comparisons(jobs.len());
                        if may { possible_needs(draft, &jobs, &order) } else { Vec::new() }
                    });
                    note_unknown(check, need, *mark, possible);
                }
                continue;
            };
            let (theirs, ours) = (order(&needed.node.stage), order(&own.stage));
            if need.job == own.id {
                let message = format!("job \"{}\" needs itself", own.id);
                check.note(Problem::error(*mark, message).fix("remove the entry"));
            } else if theirs.is_some() && ours.is_some() && theirs > ours {
                let message = format!(
                    "job \"{}\" of stage \"{}\" needs \"{}\" of the later stage \"{}\"",
                    own.id, own.stage, need.job, needed.node.stage
                );
                let problem = Problem::error(*mark, message);
                check.note(
                    problem
                        .fix("need a job of the same or an earlier stage")
                        .related(needed.mark, "the later job"),
                );
            }
        }
    }
    check_circles(check, drafts, &jobs)
}

/// Jobs that `draft` could need without another mistake.
fn possible_needs<'d>(
    draft: &Draft,
    jobs: &BTreeMap<&'d str, &'d Draft>,
    order: &dyn Fn(&str) -> Option<usize>,
) -> Vec<&'d str> {
    let needed: HashSet<&str> = draft.needs.iter().flatten().map(|(need, _)| &*need.job).collect();
    let is_later = |other: &Draft| order(&other.node.stage) > order(&draft.node.stage);
    let others = jobs.iter().filter(|(name, other)| {
        **name != draft.node.id && !needed.contains(**name) && !is_later(other)
    });
    others.map(|(name, _)| *name).collect()
}

/// Whether the name is a template, which is told here, or a job whose own mistakes are.
fn is_told(check: &mut Checker<'_>, need: &Need, mark: Mark, names: &HashSet<&str>) -> bool {
    let is_known = names.contains(&*need.job);
    if is_known && is_template(&need.job) {
        let message = format!("\"{}\" is a template, which never runs", need.job);
        check.note(Problem::error(mark, message).fix("need a job that extends it"));
    }
    is_known
}

fn note_unknown(check: &mut Checker<'_>, need: &Need, mark: Mark, possible: &[&str]) {
    let near = check.nearest(&need.job, possible.iter().copied());
    if near.is_none() && !check.complete {
        return;
    }
    let mut problem = Problem::error(mark, format!("unknown job \"{}\" in needs", need.job))
        .fix("name a job of this workflow")
        .did_you_mean(near);
    if let Some(near) = near {
        problem = problem.edit(mark, near);
    }
    check.note(problem);
}

/// Depth-first, without recursion; each circle is noted once, at the need that closes it.
fn check_circles(check: &mut Checker<'_>, drafts: &[Draft], jobs: &BTreeMap<&str, &Draft>) -> bool {
    let mut found = 0;
    let mut done: HashSet<&str> = HashSet::new();
    for draft in drafts {
        let mut path: Vec<(&Draft, usize)> = vec![(draft, 0)];
        let mut on_path: HashSet<&str> = HashSet::from([&*draft.node.id]);
        while let Some((current, next)) = path.last().copied() {
            let name = &*current.node.id;
            let need = current.needs.as_ref().and_then(|needs| needs.get(next));
            let Some((need, mark)) = need.filter(|_| !done.contains(name)) else {
                done.insert(name);
                on_path.remove(name);
                path.pop();
                continue;
            };
            path.last_mut().expect("the loop runs while there is one").1 += 1;
            let Some(needed) = jobs.get(&*need.job).filter(|_| need.job != name) else { continue };
            if on_path.contains(&*need.job) {
                found += 1;
                // No more are told, and the way around each may be as long as there are jobs.
                if found <= MAX_PROBLEMS {
                    note_circle(check, &path, &need.job, *mark);
                }
            } else if !done.contains(&*need.job) {
                on_path.insert(&needed.node.id);
                path.push((needed, 0));
            }
        }
    }
    found == 0
}

fn note_circle(check: &mut Checker<'_>, path: &[(&Draft, usize)], closing: &str, mark: Mark) {
    let names = path.iter().map(|(draft, _)| &*draft.node.id);
    let members: Vec<&str> = names.skip_while(|name| *name != closing).chain([closing]).collect();
    let message = format!("jobs need each other in a circle: {}", chain(&members));
    check
        .note(Problem::error(mark, message).code(code::NEEDS_CYCLE).fix("remove one of the needs"));
}

/// What a workflow says above its jobs.
pub(crate) struct Frame {
    pub(crate) stages: Vec<String>,
    pub(crate) rules: Vec<Rule>,
    /// What conditions of `rules` see.
    pub(crate) variables: Vec<Variable>,
}

/// The graph of checked jobs.
pub(crate) fn graph(sources: &Sources, mut drafts: Vec<Draft>, frame: Frame) -> Graph {
    // Two copies may want one id; who gets it must not depend on the order of keys.
    drafts.sort_by(|a, b| a.node.id.cmp(&b.node.id));
    let Frame { stages, rules: workflow_rules, variables } = frame;
    let mut taken: HashSet<String> = drafts.iter().map(|draft| draft.node.id.clone()).collect();
    let mut nodes = Vec::with_capacity(drafts.len());
    let mut needs = Vec::with_capacity(drafts.len());
    let mut ids: HashMap<String, Vec<String>> = HashMap::new();
    for draft in drafts {
        let (name, needed) = (draft.node.id.clone(), draft.needs.clone());
        let expanded = expand(sources, draft, &mut taken);
        ids.insert(name, expanded.iter().map(|node| node.id.clone()).collect());
        needs.extend(expanded.iter().map(|_| needed.clone()));
        nodes.extend(expanded);
    }
    for (node, needs) in nodes.iter_mut().zip(needs) {
        node.needs = needs.map(|needs| needed_ids(needs, &ids));
    }
    let order: HashMap<&str, usize> =
        stages.iter().enumerate().map(|(place, stage)| (&**stage, place)).collect();
    nodes.sort_by(|a, b| (order.get(&*a.stage), &a.id).cmp(&(order.get(&*b.stage), &b.id)));
    let mut graph = Graph {
        schema_version: version::GRAPH.to_string(),
        kind: Graph::KIND.to_owned(),
        digest: String::new(),
        edges: edges(&stages, &nodes),
        stages,
        workflow_rules,
        variables,
        nodes,
        sources: sources.digests(),
    };
    graph.digest = canonical::digest(&graph);
    graph
}

/// A need of a parallel job is one of each of its copies.
fn needed_ids(needs: Vec<(Need, Mark)>, ids: &HashMap<String, Vec<String>>) -> Vec<Need> {
    let copies = |need: Need| {
        let jobs = ids.get(&need.job).cloned().unwrap_or_default();
        jobs.into_iter().map(move |job| Need { job, ..need.clone() })
    };
    needs.into_iter().flat_map(|(need, _)| copies(need)).collect()
}

fn edges(stages: &[String], nodes: &[Node]) -> Vec<Edge> {
    let stage = |pair: &[String]| Edge::Stage { from: pair[0].clone(), to: pair[1].clone() };
    let needs = nodes.iter().flat_map(|node| {
        let edge = |need: &Need| Edge::Needs { from: need.job.clone(), to: node.id.clone() };
        node.needs.iter().flatten().map(edge)
    });
    stages.windows(2).map(stage).chain(needs).collect()
}

/// The copies of a parallel job, or the job itself.
fn expand(sources: &Sources, draft: Draft, taken: &mut HashSet<String>) -> Vec<Node> {
    let total = draft.copies.copies.len();
    if total == 0 {
        return vec![*draft.node];
    }
    let copies = draft.copies.copies.iter().enumerate();
    copies
        .map(|(index, copy)| {
            let mut node = (*draft.node).clone();
            node.id = free_id(&draft.node.id, index + 1, taken);
            node.label = label(&draft, copy, index + 1, total);
            add_values(sources, &mut node, copy);
            add_value(&mut node, "CI_NODE_INDEX", &(index + 1).to_string(), None);
            add_value(&mut node, "CI_NODE_TOTAL", &total.to_string(), None);
            node
        })
        .collect()
}

fn free_id(name: &str, number: usize, taken: &mut HashSet<String>) -> String {
    let mut id = format!("{name}-{number}");
    while !taken.insert(id.clone()) {
        id.push_str("-x");
    }
    id
}

fn label(draft: &Draft, copy: &Copy, number: usize, total: usize) -> String {
    let name = &draft.node.id;
    if !draft.copies.matrix {
        return format!("{name} {number}/{total}");
    }
    let values: Vec<&str> = copy.values.iter().map(|(_, value, _)| &**value).collect();
    format!("{name}: [{}]", values.join(", "))
}

fn add_values(sources: &Sources, node: &mut Node, copy: &Copy) {
    for (name, value, mark) in &copy.values {
        add_value(node, name, value, Some(sources.position(*mark)));
    }
}

/// Puts a value above the job's own.
fn add_value(
    node: &mut Node,
    name: &str,
    value: &str,
    position: Option<libloom_contract::graph::Position>,
) {
    let origin = Some(Origin { layer: Layer::Matrix, template: None, position });
    put(&mut node.variables, name, value, origin);
}
