//! The graph as a drawing: text, Graphviz, Mermaid.

use std::fmt::Write as _;

use libloom_contract::graph::{Edge, Graph, Node, When};

/// Stages with their jobs below them.
pub(crate) fn text(graph: &Graph) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut text =
        format!("{}, {}\n", count(graph.stages.len(), "stage"), count(graph.nodes.len(), "job"));
    let width = graph.nodes.iter().map(|node| node.label.chars().count()).max().unwrap_or(0);
    for stage in &graph.stages {
        let _ = write!(text, "\n{stage}\n");
        let mut jobs = of_stage(graph, stage).peekable();
        while let Some(node) = jobs.next() {
            let branch = if jobs.peek().is_some() { "├─" } else { "└─" };
            let padding = width - node.label.chars().count();
            let details = details(node, &count(node.steps.len(), "step"));
            let _ = writeln!(text, "{branch} {}{}  {details}", node.label, " ".repeat(padding));
        }
    }
    text
}

fn of_stage<'g>(graph: &'g Graph, stage: &'g str) -> impl Iterator<Item = &'g Node> {
    graph.nodes.iter().filter(move |node| node.stage == stage)
}

fn details(node: &Node, steps: &str) -> String {
    let image = node.image.as_ref().map(|image| image.name.as_deref().unwrap_or("built image"));
    let mut parts = vec![image.unwrap_or("host").to_owned(), steps.to_owned()];
    if let Some(needs) = &node.needs {
        let names: Vec<&str> = needs.iter().map(|need| &*need.job).collect();
        parts.push(match names.is_empty() {
            true => "needs nothing".to_owned(),
            false => format!("needs {}", names.join(", ")),
        });
    }
    if node.policy.when != When::OnSuccess {
        let when = serde_json::to_value(node.policy.when).unwrap_or_default();
        parts.push(format!("when {}", when.as_str().unwrap_or_default()));
    }
    if !node.rules.is_empty() {
        parts.push("by rules".to_owned());
    }
    parts.join(", ")
}

/// A digraph with a cluster for each stage.
pub(crate) fn dot(graph: &Graph) -> String {
    let mut text =
        "digraph workflow {\n  rankdir=LR;\n  compound=true;\n  node [shape=box];\n".to_owned();
    for (number, stage) in graph.stages.iter().enumerate() {
        let _ = write!(text, "  subgraph cluster_{number} {{\n    label={};\n", quoted(stage));
        for node in of_stage(graph, stage) {
            let _ = writeln!(text, "    {} [label={}];", quoted(&node.id), quoted(&node.label));
        }
        text.push_str("  }\n");
    }
    for edge in &graph.edges {
        if let Edge::Needs { from, to } = edge {
            let _ = writeln!(text, "  {} -> {};", quoted(from), quoted(to));
        }
    }
    for (from, to) in stage_pairs(graph) {
        let ends = (
            of_stage(graph, &graph.stages[from]).next(),
            of_stage(graph, &graph.stages[to]).next(),
        );
        if let (Some(tail), Some(head)) = ends {
            let (tail, head) = (quoted(&tail.id), quoted(&head.id));
            let _ = writeln!(
                text,
                "  {tail} -> {head} [ltail=cluster_{from}, lhead=cluster_{to}, style=dashed];"
            );
        }
    }
    text + "}\n"
}

/// Each stage that has jobs with the next one that has.
fn stage_pairs(graph: &Graph) -> Vec<(usize, usize)> {
    let filled: Vec<usize> = (0..graph.stages.len())
        .filter(|stage| of_stage(graph, &graph.stages[*stage]).next().is_some())
        .collect();
    filled.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A flowchart with a subgraph for each stage.
pub(crate) fn mermaid(graph: &Graph) -> String {
    let name = |id: &str| {
        let place = graph.nodes.iter().position(|node| node.id == id).unwrap_or(0);
        format!("j{place}")
    };
    let mut text = "flowchart LR\n".to_owned();
    for (number, stage) in graph.stages.iter().enumerate() {
        if of_stage(graph, stage).next().is_none() {
            continue;
        }
        let _ = writeln!(text, "  subgraph s{number}[\"{stage}\"]");
        for node in of_stage(graph, stage) {
            let label = node.label.replace('"', "#quot;");
            let _ = writeln!(text, "    {}[\"{label}\"]", name(&node.id));
        }
        text.push_str("  end\n");
    }
    for edge in &graph.edges {
        if let Edge::Needs { from, to } = edge {
            let _ = writeln!(text, "  {} --> {}", name(from), name(to));
        }
    }
    for (from, to) in stage_pairs(graph) {
        let _ = writeln!(text, "  s{from} -.-> s{to}");
    }
    text
}
